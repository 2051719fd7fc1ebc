"""The maps of the images that set the threshold."""

import numpy as np
import pytest

from tasks.models.edge_maps import MOST, EdgeMaps, read_edge_maps
from tasks.models.inspector import Inspection


def test_the_highest_scores_keep_their_maps(tmp_path):
    kept = EdgeMaps()
    for number in np.random.default_rng(0).permutation(30):
        values = np.full((4, 5), number / 3, np.float32)
        kept.add(f"train/good/{number}.png", Inspection(float(number), values, values))
    kept.write(tmp_path / "edge_maps.npz")
    found = read_edge_maps(tmp_path / "edge_maps.npz")
    assert list(found) == [f"train/good/{number}.png" for number in range(29, 29 - MOST, -1)]
    assert found["train/good/28.png"].shape == (4, 5)
    assert found["train/good/28.png"].max() == pytest.approx(28 / 3, rel=1e-3)


def test_no_file_and_no_images_are_no_maps(tmp_path):
    assert read_edge_maps(tmp_path / "nothing.npz") == {}
    EdgeMaps().write(tmp_path / "empty.npz")
    assert read_edge_maps(tmp_path / "empty.npz") == {}
