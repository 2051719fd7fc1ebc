"""Calibration scores come from detectors that did not see the image."""

import numpy as np
import pytest
from PIL import Image

from ad_models import create
from tasks.decisions.split import fold_numbers
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.models.fitting import FitJob
from tasks.models.inspector import Inspector
from tasks.models.torch_model import TorchModel
from tasks.spec.recipe import FitRecipe

SMALL = {"backbone": "resnet18", "weights": "random", "dims": 10}


class Silent:
    def report(self, *_, **__):
        pass

    def note(self, text):
        pass


@pytest.fixture
def rows(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for number in range(9):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        found.append({"path": f"{number}.png", "sha256": rng.bytes(32).hex()})
    return found


def job(tmp_path, algorithm="padim", parameters=SMALL, **training):
    recipe = FitRecipe(parameters=parameters, image={"size": 32}, training=training)
    return FitJob("nut", algorithm, recipe, tmp_path, Silent())


def test_folds_score_every_image_by_a_fit_without_it(tmp_path, rows):
    from ad_models import Run

    asked = job(tmp_path, folds=3)
    detector, seen, held = asked.fit(rows, Run())
    assert (seen, held) == (9, [])
    scores = {row["path"]: float(row["score"]) for row in asked.score_folds(rows, Run())}
    assert set(scores) == {row["path"] for row in rows}
    parts = fold_numbers([row["sha256"] for row in rows], 9)
    others = [row for row, part in zip(rows, parts, strict=True) if part != parts[4]]
    alone = create("padim", **SMALL).fit(asked.loader(others))
    image = read_image(tmp_path / "4.png")
    expected = Inspector(TorchModel(alone), Preprocess(asked.recipe.image)).inspect(image).score
    assert scores["4.png"] == pytest.approx(expected, rel=1e-5)
    assert scores["4.png"] > 2 * detector.predict(asked.loader([rows[4]])._image(0)).score.item()


def test_without_folds_images_are_held_out(tmp_path, rows):
    from ad_models import Run

    _, seen, held = job(tmp_path, folds=0, calibration=0.3).fit(rows, Run())
    assert held and seen + len(held) == 9


def test_an_algorithm_that_trains_for_epochs_is_never_folded(tmp_path, rows):
    from ad_models import Run

    parameters = {"backbone": "resnet18", "weights": "random", "epochs": 1}
    _, seen, held = job(tmp_path, "reverse_distillation", parameters, folds=3).fit(rows, Run())
    assert held and seen + len(held) == 9


def test_two_images_are_both_for_the_fit(tmp_path, rows):
    from ad_models import Run

    asked = job(tmp_path, folds=4)
    _, seen, held = asked.fit(rows[:2], Run())
    assert (seen, held, asked.score_folds(rows[:2], Run())) == (2, [], [])
    able = job(tmp_path, "patchcore", {"backbone": "resnet18", "weights": "random"}, folds=4)
    assert len(able.score_folds(rows[:2], Run())) == 2  # a memory of one image scores the other


@pytest.mark.parametrize(
    ("images", "parts"), [(1, 0), (2, 0), (3, 3), (9, 9), (20, 8), (40, 4), (200, 4)]
)
def test_folds_of_gaussians_need_three_images_and_are_more_where_images_are_few(
    tmp_path, images, parts
):
    assert job(tmp_path, folds=4).folds([{}] * images) == parts


def test_parts_are_equal_and_depend_on_content_alone():
    rng = np.random.default_rng(1)
    shas = [rng.bytes(32).hex() for _ in range(10)]
    parts = fold_numbers(shas, 4)
    assert sorted(np.bincount(parts)) == [2, 2, 3, 3]
    assert fold_numbers(shas[::-1], 4) == parts[::-1]


def test_what_is_seen_once_is_not_kept_in_memory(tmp_path, rows):
    asked = job(tmp_path)
    once, again = asked.loader(rows, keep=False), asked.loader(rows)
    for loader in (once, again):
        assert sum(len(batch.image) for batch in loader) == len(rows)
    assert not once._kept and len(again._kept) == len(rows)
