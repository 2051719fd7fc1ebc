"""Which pictures of test images stay."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.images.preprocess import Preprocess
from tasks.models.inspector import Inspector
from tasks.models.result_pictures import ResultPictures
from tasks.spec.schema import Image


class Plain:
    reconstructs = False


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 4, 1, 0, 2]])
def test_the_most_wrong_stay_and_of_equal_ones_the_first_rows(order, tmp_path):
    inspector = Inspector(Plain(), Preprocess(Image(size=32)))
    decision = SimpleNamespace(
        threshold=0.5, map_top=1.0, pixel_threshold=None, region_min_area=0, region_opening=0
    )
    pictures = ResultPictures(inspector, decision, 3)
    scores = [0.1, 0.1, 0.9, 0.1, 0.1]  # a good image above the threshold is wrong
    for at in order:
        image = np.full((32, 32, 3), at / 10, np.float32)
        pictures.add(at, "good", image, scores[at], np.zeros((32, 32), np.float32), None)
    with zipfile.ZipFile(pictures.write(tmp_path / "exhibits.zip")) as archive:
        assert sorted(json.loads(archive.read("outlines.json"))) == ["0", "1", "2"]
