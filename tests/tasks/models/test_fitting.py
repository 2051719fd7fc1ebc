"""Calibration scores come from detectors that did not see the image."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

from ad_models import Run, create
from ad_models.feature_folder import FeatureFolder
from tasks.decisions.split import fold_numbers
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.models import left_out
from tasks.models.fitting import FitJob
from tasks.models.inspector import Inspector
from tasks.models.left_out import left_out_scores, shift
from tasks.models.torch_model import TorchModel
from tasks.spec.recipe import FitRecipe

SMALL = {"backbone": "drawnet", "dims": 10}


class Silent:
    def report(self, *_, **__):
        pass

    def say(self, text):
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


def test_folds_score_every_image_by_a_fit_without_it(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(left_out, "FEW", 0)  # no shift
    asked = job(tmp_path, folds=3)
    detector, seen, held = asked.fit(rows, Run())
    assert (seen, held) == (9, [])
    found, how = left_out_scores(asked, detector, rows, Run())
    assert how.startswith("leave one out")
    scores = {row["path"]: float(row["score"]) for row in found}
    assert set(scores) == {row["path"] for row in rows}
    parts = fold_numbers([row["sha256"] for row in rows], 9)
    others = [row for row, part in zip(rows, parts, strict=True) if part != parts[4]]
    alone = create("padim", **SMALL).fit(asked.loader(others))
    image = read_image(tmp_path / "4.png")
    expected = Inspector(TorchModel(alone), Preprocess(asked.recipe.image)).inspect(image).score
    assert scores["4.png"] == pytest.approx(expected, rel=1e-4)
    assert scores["4.png"] > 1.5 * detector.predict(asked.loader([rows[4]])._image(0)).score.item()


@pytest.fixture
def seen_once(monkeypatch):
    """How many images passed a backbone."""
    from ad_models.features import Pyramid
    from ad_models.seen import Seen

    counted, forward = [], Pyramid.forward

    def count(self, images):
        counted.append(0 if isinstance(images, Seen) else len(images))
        return forward(self, images)

    monkeypatch.setattr(Pyramid, "forward", count)
    return lambda: sum(counted)


PATCHES = {"backbone": "drawnet", "ratio": 0.1}


@pytest.mark.parametrize("two_stage", [False, True])  # True: nothing can be left out of one fit
@pytest.mark.parametrize("tile", [None, 32])
def test_each_image_passes_the_backbone_once(tmp_path, rows, seen_once, tile, two_stage):
    recipe = FitRecipe(
        parameters=PATCHES | {"two_stage": two_stage},
        image={"size": 56 if tile else 32, "tile": tile},
        training={"folds": 3},
    )
    asked = FitJob("nut", "patchcore", recipe, tmp_path, Silent())
    detector, _, _ = asked.fit(rows, Run())
    scores, how = left_out_scores(asked, detector, rows, Run())
    detectors = 1 + 9 * two_stage
    assert seen_once() == 9 * (4 if tile else 1) + detectors  # each finds its channels by one
    assert how.startswith("leave one out") and [row["path"] for row in scores] == [
        r["path"] for r in rows
    ]


TOKENS = {"backbone": "test_vit", "block": 0, "size": 32, "weights": "random", "turns": 3}


def test_few_images_are_seen_turned_and_leave_with_their_copies(tmp_path, rows):
    asked = job(tmp_path, "anomalydino", TOKENS)
    detector, seen, held = asked.fit(rows, Run())
    assert (seen, held, len(detector.bank)) == (9, [], 9 * 3 * 4)
    found, how = left_out_scores(asked, detector, rows, Run())
    assert how == "leave one out"
    again = asked.again(rows[:4] + rows[5:], Run())
    (expected,) = asked.score(again, [rows[4]])
    one = next(row for row in found if row["path"] == "4.png")
    assert float(one["score"]) == pytest.approx(float(expected["score"]), rel=1e-3)


def test_many_images_are_not_turned(tmp_path, rows):
    detector, _, _ = job(tmp_path, "anomalydino", TOKENS | {"turned_below": 9}).fit(rows, Run())
    assert len(detector.bank) == 9 * 4


def test_refits_give_the_scores_of_the_detector_without_an_image(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(left_out, "FEW", 0)  # no shift
    """With too little memory for one fit, the threshold is nearly the same."""
    asked = job(tmp_path, folds=3)
    detector, _, _ = asked.fit(rows, Run())
    found, _ = left_out_scores(asked, detector, rows, Run())
    monkeypatch.setattr(type(detector), "left_out", lambda *_: None)
    refitted, how = left_out_scores(asked, detector, rows, Run())
    assert how.startswith("leave one out")
    for one, other in zip(found, refitted, strict=True):
        assert one["path"] == other["path"]
        for key in ("score", "peak"):
            assert float(one[key]) == pytest.approx(float(other[key]), rel=1e-3)


IN_ORDER = [(9, r"(\d+)", 9), (20, r"(\d+)", 8), (200, r"(\d+)", 4)]


@pytest.mark.parametrize(
    ("images", "order", "parts"),
    [(2, None, 0), (9, None, 9), (64, None, 64), (200, None, 64), *IN_ORDER],
)
def test_what_needs_no_fit_is_left_out_one_by_one_but_never_part_of_a_sequence(
    tmp_path, images, order, parts
):
    assert job(tmp_path, folds=4, order=order).folds([{}] * images, refit=False) == parts


def test_features_in_a_temporary_file_are_those_of_the_backbone(tmp_path, rows):
    asked = job(tmp_path)
    loader = asked.feature_loader(create("padim", **SMALL), rows, Run())
    fresh, stored = list(loader), list(loader)
    images = list(asked.loader(rows))
    for first, again, batch in zip(fresh, stored, images, strict=True):
        assert first.image.shape == batch.image.shape and first.category == batch.category
        for one, other in zip(first.image.maps, again.image.maps, strict=True):
            assert torch.equal(one, other)
    assert loader.shape(3) == (40, 40)
    asked.features.left = 0  # a full disk: they are computed each time
    others = job(tmp_path, parameters=SMALL | {"layers": ["layer1"]})
    assert len(list(others.feature_loader(create("padim", **SMALL), rows, Run()))) == len(fresh)


def test_features_of_another_precision_are_others_and_nearly_the_same(tmp_path, rows):
    asked, detector = job(tmp_path), create("padim", **SMALL)
    whole, half = (
        [map for batch in asked.feature_loader(detector, rows, run) for map in batch.image.maps]
        for run in (Run(), Run(precision=torch.bfloat16))
    )
    for one, other in zip(whole, half, strict=True):
        assert one.dtype == other.dtype == torch.float32 and not torch.equal(one, other)
        torch.testing.assert_close(other, one, rtol=0.02, atol=0.02 * float(one.abs().max()))


def test_cells_with_one_backbone_share_its_features(tmp_path, rows, seen_once):
    features = FeatureFolder(tmp_path / "features", 10**9)
    same = {"backbone": "drawnet", "weights": "random", "layers": ["layer1", "layer2"]}

    def cell(algorithm, size=32, **more):
        recipe = FitRecipe(parameters=same | more, image={"size": size}, training={})
        one = FitJob("nut", algorithm, recipe, tmp_path, Silent(), features=features)
        before = seen_once()
        detector, _, held = one.fit(rows, Run())
        if not held:
            left_out_scores(one, detector, rows, Run())
        return seen_once() - before - 1  # each detector finds its channels by one image

    assert cell("padim", dims=10) == 9
    assert cell("patchcore") == cell("padim", dims=12) == cell("simplenet", epochs=1, hidden=8) == 0
    assert cell("patchcore", layers=["layer1"]) == 0
    assert cell("patchcore", layers=["layer1", "layer3"]) == 9
    assert cell("padim", dims=10, size=64) == cell("padim", dims=10, seed=1) == 9  # other weights
    assert cell("msflow", layers=["layer1", "layer2"], blocks=[1, 1], epochs=1) > 0  # other borders


def test_without_folds_images_are_held_out(tmp_path, rows):
    _, seen, held = job(tmp_path, folds=0, calibration=0.3).fit(rows, Run())
    assert held and seen + len(held) == 9


def test_an_algorithm_that_trains_for_epochs_is_never_folded(tmp_path, rows):
    parameters = {"backbone": "resnet18", "weights": "random", "epochs": 1}
    _, seen, held = job(tmp_path, "reverse_distillation", parameters, folds=3).fit(rows, Run())
    assert held and seen + len(held) == 9


def test_two_images_are_both_for_the_fit(tmp_path, rows):
    asked = job(tmp_path, folds=4)
    detector, seen, held = asked.fit(rows[:2], Run())
    assert (seen, held) == (2, [])
    assert left_out_scores(asked, detector, rows[:2], Run()) == ([], "0 folds")
    able = job(tmp_path, "patchcore", {"backbone": "drawnet", "weights": "random"}, folds=4)
    detector, _, _ = able.fit(rows[:2], Run())
    # a memory of one image scores the other
    assert len(left_out_scores(able, detector, rows[:2], Run())[0]) == 2


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


LONG_RUN = {
    "padim": SMALL,
    "semi_orthogonal": SMALL,
    "patchcore": {"backbone": "drawnet", "weights": "random", "ratio": 0.05, "projected": 384},
}


@pytest.mark.parametrize(  # semi_orthogonal: as padim, by the same code
    "algorithm", ["padim", pytest.param("semi_orthogonal", marks=pytest.mark.slow), "patchcore"]
)
def test_calibration_scores_are_distributed_as_those_of_new_images(tmp_path, algorithm):
    """In the long run of draws: each is a fit on 16 images, judged with 16 new ones."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(60, 190, (40, 40, 3))
    known, new = [], []
    for draw in range(12):
        rows = []
        for number in range(32):
            pixels = np.clip(pattern + rng.normal(0, 20, (40, 40, 3)), 0, 255).astype(np.uint8)
            path = f"{draw}_{number}.png"
            Image.fromarray(pixels).save(tmp_path / path)
            rows.append({"path": path, "sha256": rng.bytes(32).hex()})
        asked = job(tmp_path, algorithm, LONG_RUN[algorithm])
        detector, _, _ = asked.fit(rows[:16], Run())
        found, how = left_out_scores(asked, detector, rows[:16], Run())
        assert how.startswith("leave one out")
        known += [float(row["score"]) for row in found]
        new += [float(row["score"]) for row in asked.score(detector, rows[16:])]
    assert ks_2samp(known, new).statistic < 0.155  # 192 against 192: 2 % of the time by chance


def test_the_shift_is_that_of_a_power_of_the_number_of_images():
    scores = [{"path": str(i), "score": repr(2.0 * (15 / 16) ** -0.5)} for i in range(16)]
    fewer = [{"path": str(i), "score": repr(2.0 * (14 / 16) ** -0.5)} for i in range(16)]
    assert shift(scores, 16, fewer, 8) == pytest.approx((15 / 16) ** 0.5)
    assert shift(fewer, 16, scores, 8) == 1.0  # never upwards
    assert shift([{"path": "0", "score": "-1.0"}], 16, [{"path": "0", "score": "1.0"}], 8) == 1.0
