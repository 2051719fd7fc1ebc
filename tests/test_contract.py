"""What every algorithm must do. A new one is tested by being in ALGORITHMS."""

import itertools
from dataclasses import dataclass

import pytest
import torch

from ad_models import ALGORITHMS, Batch, Run, create, kind, load
from ad_models.base import Detector
from ad_models.errors import Cancelled, ConfigError, ExportError, InputError, NotFittedError
from ad_models.run import Progress

SMALL = {  # parameters that make a fit take a second
    "anomalydino": {"backbone": "test_vit", "size": 160, "block": 1, "turns": 2},
    "anogan": {"size": 32, "base": 8, "code": 8, "epochs": 20, "steps": 15, "lr": 2e-3},
    "cyclegan": {"size": 32, "base": 4, "blocks": 1, "epochs": 4, "lr": 2e-3, "sigma": 0}
    | {"decay_epochs": 2, "pool": 4},
    "f_anogan": {"size": 16, "base": 4, "code": 8, "epochs": 20, "encoder_epochs": 15}
    | {"critic_steps": 2, "lr": 2e-3, "encoder_lr": 2e-3},
    "ganomaly": {"size": 16, "base": 8, "code": 10, "epochs": 60},
    "dinomaly": {"backbone": "test_vit", "size": 112, "blocks": (0, 1), "steps": 25, "batch": 8}
    | {"warmup": 5, "mining": 18},
    "efficientad": {
        "layers": ("layer1", "layer2"),
        "width": 16,
        "channels": 16,
        "side": 64,
        "teacher_steps": 2,
        "steps": 40,
        "lr": 1e-3,
    },
    "fcdd": {"layer": "layer1", "frozen": "maxpool", "epochs": 12, "lr": 0.01, "sigma": 4.0},
    "kdad": {"layers": ("layer1", "layer2", "layer3"), "epochs": 6},
    "autoencoder": {"loss": "l2", "side": 64, "code": 16, "width": 8, "epochs": 8, "lr": 2e-3}
    | {"batches": 2},
    "denoising_autoencoder": {"widths": (8, 16), "epochs": 8, "lr": 3e-3, "batches": 2},
    "diffusionad": {"size": 16, "widths": (8, 16), "blocks": 1, "attention": (), "heads": 1}
    | {"marker": (8, 16), "gamma": 1.0, "spoiled": 0.75, "own": 0.0, "top": 2}
    | {"epochs": 20, "lr": 2e-3, "marker_lr": 1e-2},
    "favae": {"layers": ("layer1",), "side": 64, "code": 8, "width": 8, "epochs": 6}
    | {"batches": 2},
    "reconpatch": {"dims": 16, "epochs": 2, "ratio": 0.1},
    "cpr": {"layers": ["layer1", "layer2"], "steps": 2, "batch": 4, "points": 20, "channels": 8}
    | {"words": 4, "retrieved": 2, "sigma": 2},
    "pni": {"epochs": 2, "ratio": 0.1, "expected": 32, "hidden": 16, "depth": 3, "sigma": 2},
    "regad": {"epochs": 2, "shots": 2},
    "semi_orthogonal": {"dims": 20},
    "simplenet": {"hidden": 32, "epochs": 8},
    "subspacead": {"backbone": "test_vit", "size": 112, "blocks": (0, 1), "turns": 2},
    "riad": {"cells": (8,), "widths": (8, 16), "window": 7, "epochs": 6, "lr": 3e-3},
    "vae": {"side": 64, "code": 16, "width": 8, "epochs": 12, "lr": 2e-3, "batches": 2},
    "fastflow": {"layers": ("layer1", "layer2"), "steps": 2, "epochs": 4},
    "msflow": {"layers": ("layer1", "layer2"), "blocks": (1, 1), "epochs": 4, "lr": 1e-3},
    "padim": {"dims": 20},
    "patchcore": {"ratio": 0.1},
    "reverse_distillation": {"epochs": 3, "loss": "position"},
}
SMALL["unified_dinomaly"] = SMALL["dinomaly"]
REBUILDS = {"anogan", "autoencoder", "cyclegan", "denoising_autoencoder", "diffusionad", "f_anogan"}
REBUILDS |= {"favae", "ganomaly", "riad", "vae"}  # those that make an image of an image
RESNETS = {"fcdd", "regad", "reverse_distillation"}  # those that take no smaller network
# those that use Run.mixed
MIXED = {"autoencoder", "denoising_autoencoder", "diffusionad", "dinomaly", "fastflow", "favae"}
MIXED |= {"fcdd", "ganomaly", "kdad", "msflow", "reverse_distillation", "riad", "simplenet", "vae"}
MIXED |= {"unified_dinomaly"}
# Those in MIXED first, in the order of their own test: pytest groups tests by the place in a list,
# and so fits each only once.
NAMES = [*sorted(MIXED), *(name for name in ALGORITHMS if name not in MIXED)]
# Those that are stopped before their first checkpoint: a fit of one pass writes none
UNSAVED = {"anomalydino", "padim", "patchcore", "semi_orthogonal", "subspacead"}
LATE = {"cpr", "pni"}  # those that learn after much else
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SIDE = 64


def texture(count: int, seed: int) -> torch.Tensor:
    """Normal images (count, 3, 64, 64): stripes that shift a little, and noise."""
    g = torch.Generator().manual_seed(seed)
    x = torch.linspace(0, 12.57, SIDE).view(1, 1, 1, SIDE)
    shift = torch.rand(count, 1, 1, 1, generator=g)
    return torch.sin(x + shift) + 0.1 * torch.randn(count, 3, SIDE, SIDE, generator=g)


def spoiled(count: int, seed: int) -> torch.Tensor:
    """Normal images with a bright square at 20:40, 20:40."""
    images = texture(count, seed)
    images[:, :, 20:40, 20:40] += 3.0
    return images


def batches() -> list[Batch]:
    return [Batch(texture(8, seed), ["part"] * 8) for seed in (0, 1)]


def support() -> list[Batch]:
    return [Batch(texture(4, 2), ["part"] * 4)]


def unfitted(name: str, **more):
    parameters = SMALL[name] | more
    if "weights" in create_fields(name):
        backbone = "resnet18" if name in RESNETS else "drawnet"
        parameters = {"backbone": backbone, "weights": "random"} | parameters
    return create(name, **parameters)


def create_fields(name: str) -> set[str]:
    from tasks.spec.algorithms import config_fields

    return set(config_fields(name))


@pytest.fixture(scope="module", params=DEVICES)
def device(request) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(request.param)


@pytest.fixture(scope="module", params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module", autouse=True)
def often_saved():
    """So few steps are between two checkpoints that one comes before a fit is stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ad_models.loose_decoder.EACH", 5)
        patch.setattr("ad_models.algorithms.cpr.ROUND", 1)
        yield


class Counted(list):
    """How often a loader was gone through."""

    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


@dataclass
class Watched:
    """A detector fitted on the CPU, and what was seen of its fit."""

    detector: Detector
    told: list[Progress]
    passes: int  # through the loader
    asked: int  # how often, whether to stop
    drawn: torch.Tensor  # by the caller after the fit, with seed 1


@pytest.fixture(scope="module")
def watched(name) -> Watched:
    told: list[Progress] = []
    asked = itertools.count()
    loader = Counted(batches())
    torch.manual_seed(1)
    run = Run(report=told.append, report_every=0, should_stop=lambda: next(asked) < 0)
    detector = unfitted(name).fit(loader, run, support())
    return Watched(detector, told, loader.times, next(asked), torch.rand(1))


@pytest.fixture(scope="module")
def fitted(name, device, request) -> Detector:
    if device.type == "cpu":
        return request.getfixturevalue("watched").detector
    return unfitted(name).fit(batches(), Run(device), support())


def test_shapes_and_types(fitted):
    score, maps = fitted.predict(texture(3, 3))
    assert score.shape == (3,) and maps.shape == (3, 1, SIDE, SIDE)
    assert score.dtype == maps.dtype == torch.float32
    assert score.isfinite().all() and maps.isfinite().all()


def test_a_square_scores_higher_and_is_found(fitted):
    good, bad = fitted.predict(texture(6, 4)), fitted.predict(spoiled(6, 4))
    assert bad.score.min() > good.score.max()
    inside = bad.map[:, :, 20:40, 20:40]
    outside = (bad.map.sum() - inside.sum()) / (bad.map.numel() - inside.numel())
    assert inside.mean() > 1.2 * outside


def test_a_reconstruction_has_the_shape_of_its_image(name, fitted):
    images = texture(4, 4)
    made, again = fitted.reconstruction(images), fitted.reconstruction(images)
    assert (made is not None) == (name in REBUILDS)
    if made is not None:
        assert made.shape == images.shape and made.dtype == images.dtype
        assert made.isfinite().all() and torch.equal(made, again)


def test_predict_changes_nothing(fitted):
    before = {k: v.clone() for k, v in fitted.state_dict().items()}
    images = texture(4, 5)
    first, again = fitted.predict(images), fitted.predict(images)
    assert torch.equal(first.score, again.score) and torch.equal(first.map, again.map)
    assert all(torch.equal(before[k], v) for k, v in fitted.state_dict().items())


def test_the_batch_does_not_matter(fitted):
    images = torch.cat([texture(2, 6), spoiled(2, 6)])
    alone = torch.cat([fitted.predict(images[i : i + 1]).score for i in range(4)])
    torch.testing.assert_close(fitted.predict(images).score, alone, rtol=1e-4, atol=1e-5)


def test_save_and_load_agree(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", fitted.fitted.device)
    images = texture(2, 7)
    assert torch.equal(fitted.predict(images).map, again.predict(images).map)
    assert again.config == fitted.config
    assert again.weights == fitted.weights


def test_export_equals_predict(name, fitted, tmp_path):
    import onnxruntime

    if fitted.no_export:
        with pytest.raises(ExportError, match="cannot be exported: "):
            fitted.export(tmp_path / "model.onnx", (SIDE, SIDE))
        return
    if name != next(one for one in NAMES if kind(one).forward is type(fitted).forward):
        return  # the same graph was tested
    fitted.export(tmp_path / "model.onnx", (SIDE, SIDE))
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    for count in (1, 5):  # any batch size
        images = spoiled(count, 8)
        score, maps = session.run(None, {"images": images.numpy()})
        expected = fitted.predict(images)
        torch.testing.assert_close(
            torch.from_numpy(score), expected.score.cpu(), rtol=1e-3, atol=1e-4
        )
        torch.testing.assert_close(torch.from_numpy(maps), expected.map.cpu(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(MIXED), scope="module")
def test_half_the_digits_in_training_find_the_square_too(name, watched):
    fitted = unfitted(name).fit(batches(), Run(precision=torch.bfloat16), support())
    assert all(p.dtype == torch.float32 for p in fitted.parameters())
    good, bad = fitted.predict(texture(6, 4)), fitted.predict(spoiled(6, 4))
    assert good.score.dtype == torch.float32
    assert bad.score.min() > good.score.max()
    exact = watched.detector.predict(texture(1, 4)).map
    assert not torch.equal(exact, good.map[:1])  # it was used


def test_a_stopped_fit_goes_on_to_the_same_model(name, watched, tmp_path):
    """And so one seed gives one result."""

    def fit(should_stop):
        run = Run(checkpoint=tmp_path / "fit.ckpt", save_every=0, should_stop=should_stop)
        return unfitted(name).fit(batches(), run, support())

    asked = itertools.count(1)
    last = watched.asked - 1 if name in LATE else watched.asked * 2 // 3
    with pytest.raises(Cancelled):
        fit(lambda: next(asked) > last)
    assert (tmp_path / "fit.ckpt").exists() == (name not in UNSAVED)
    again = fit(lambda: False)
    assert torch.equal(
        watched.detector.predict(texture(2, 9)).map, again.predict(texture(2, 9)).map
    )


def test_a_fit_leaves_the_callers_random_numbers_alone(watched):
    torch.manual_seed(1)
    assert torch.equal(watched.drawn, torch.rand(1))


def test_unfitted_says_so(name, tmp_path):
    detector = unfitted(name)
    with pytest.raises(NotFittedError, match="call fit"):
        detector.predict(texture(1, 0))
    with pytest.raises(NotFittedError, match="nothing to save"):
        detector.save(tmp_path / "model.safetensors")
    with pytest.raises(NotFittedError, match="nothing to export"):
        detector.export(tmp_path / "model.onnx", (SIDE, SIDE))


def test_a_typo_is_helped(name):
    with pytest.raises(ConfigError, match="did you mean 'seed'"):
        create(name, sead=1)


@pytest.mark.parametrize(
    "bad",
    [
        torch.zeros(3, SIDE, SIDE),
        torch.zeros(1, 1, SIDE, SIDE),
        torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64),
    ],
)
def test_wrong_input(fitted, bad):
    with pytest.raises(InputError, match="B, 3, H, W"):
        fitted.predict(bad)


def test_cancel(name):
    with pytest.raises(Cancelled):
        unfitted(name).fit(batches(), Run(should_stop=lambda: True))


def test_progress_reaches_the_end_and_images_read_once_are_declared(watched):
    last = watched.told[-1]
    assert (watched.passes == 1) == watched.detector.reads_once
    assert last.step == last.steps
    assert last.epoch == last.epochs
    assert last.fraction == pytest.approx(1)
