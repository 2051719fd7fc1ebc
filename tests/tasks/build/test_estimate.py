"""What a fit takes, in passes of a backbone; what the machine takes for one is measured once."""

import json

import pytest
import torch

from ad_models import probe
from tasks.build import estimate
from tasks.build.estimate import ONE_PASS, TRAINING, estimates, passes
from tasks.spec.algorithms import config_fields, config_values, known_algorithms, per_product
from tasks.spec.read import default_params
from tasks.workspace.paths import Workspace

measured = estimate.measured  # as it is: other tests are given figures
SIZE = (256, 256)
AUTO = sorted({name for names in default_params().auto.values() for name in names})


def taken(name, images=32, size=SIZE, batch=16, **changes):
    quick = default_params().presets["quick"].get(name) or {}
    return passes(name, config_values(name) | quick | changes, images, size, batch)


def test_whatever_auto_can_choose_was_measured():
    for name in AUTO:
        assert name in ONE_PASS or name in TRAINING, name
    assert set(TRAINING) | set(ONE_PASS) <= set(known_algorithms())
    for name, parts in TRAINING.items():
        assert {part.counted for part in parts} <= set(config_fields(name))


@pytest.mark.parametrize("name", AUTO)
def test_more_images_never_take_less(name):
    for counts in ((2, 8, 16), (17, 64, 300, 3000)):  # from 17 on AnomalyDINO turns none
        found = [taken(name, images) for images in counts]
        assert found == sorted(found) and found[0] > 0


@pytest.mark.parametrize("name", sorted(set(AUTO) - set(ONE_PASS)))
def test_twice_the_training_takes_twice_as_long(name):
    one, two, four = (
        taken(name, **{part.counted: count * 10 for part in TRAINING[name]}) for count in (1, 2, 4)
    )
    assert four - two == pytest.approx(2 * (two - one)) and two > one


def test_steps_are_counted_as_a_fit_takes_them():
    found = {key: taken("simplenet", epochs=3, batches=b, batch=4) for key, b in ((0, 0), (5, 5))}
    (part,) = TRAINING["simplenet"]
    assert found[0] - found[5] == pytest.approx(part.passes * 3 * 4 * (32 // 4 - 5))
    few = taken("simplenet", 3, epochs=3, batches=5, batch=4) - taken("simplenet", 3, epochs=0)
    assert few == pytest.approx(part.passes * 3 * 5 * 3)  # no batch has more than all images


def test_a_product_shares_what_is_learned_for_all():
    quick = config_values("regad") | (default_params().presets["quick"]["regad"] or {})
    alone, shared = (passes("regad", quick, 16, SIZE, 16, products) for products in (1, 4))
    assert per_product("regad") and alone > 2 * shared


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "params.yaml").write_text("line: {device: cpu}\n")
    folder = tmp_path / "data" / "cap"
    folder.mkdir(parents=True)
    (folder / "product.yaml").write_text("image: {size: [64, 96]}\nalgorithms: auto\n")
    return Workspace(tmp_path)


def test_a_machine_is_measured_once_for_each_backbone_and_size(workspace, monkeypatch):
    asked = []

    def timed(name, size, device):
        asked.append((name, size))
        return 0.0123456

    monkeypatch.setattr(probe, "pass_seconds", timed)
    for _ in range(2):
        on, found = measured(workspace, ["resnet18", "vgg11"], (64, 96))
        assert found == {"resnet18": 0.0123, "vgg11": 0.0123} and on.startswith("cpu, ")
    measured(workspace, ["resnet18"], (64, 64))
    assert asked == [("resnet18", (64, 96)), ("vgg11", (64, 96)), ("resnet18", (64, 64))]
    path = workspace.scratch / "speed.json"
    kept = json.loads(path.read_text())
    assert kept[f"{on}: vgg11, 64 x 96"]["seconds"] == 0.0123
    path.write_text(json.dumps({key: one | {"time": 1} for key, one in kept.items()}))  # long ago
    measured(workspace, ["vgg11"], (64, 96))
    assert asked[3:] == [("vgg11", (64, 96))]


def test_an_estimate_keeps_the_pace_it_was_made_with(workspace, monkeypatch):
    first = estimates(workspace, "cap", ["padim", "patchcore"], 10, {})
    assert first["size"] == [64, 96] and list(first["seconds"]) == ["padim", "patchcore"]

    def never(*_):
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(estimate, "measured", never)
        assert estimates(workspace, "cap", ["padim", "patchcore"], 10, first) == first
        more = estimates(workspace, "cap", ["padim"], 20, first)
        assert more["seconds"]["padim"] == pytest.approx(2 * first["seconds"]["padim"])
    (workspace.product("cap") / "product.yaml").write_text("image: {size: 64}\n")
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="measured again"):
        patch.setattr(estimate, "measured", never)
        estimates(workspace, "cap", ["padim"], 10, first)


def test_tiles_count_each(workspace):
    whole = estimates(workspace, "cap", ["padim"], 10, {})["seconds"]["padim"]
    (workspace.product("cap") / "product.yaml").write_text("image: {size: 128, tile: 64}\n")
    tiled = estimates(workspace, "cap", ["padim"], 10, {})["seconds"]["padim"]
    assert tiled == pytest.approx(9 * whole)


def test_a_cell_with_its_own_size_is_measured_at_it(workspace, monkeypatch):
    asked = []

    def timed(_, backbones, size):
        asked.append((backbones, size))
        return "here", dict.fromkeys(backbones, size[0] / 1000)

    monkeypatch.setattr(estimate, "measured", timed)
    spec = workspace.product("cap") / "product.yaml"
    same = "padim: {backbone: resnet18}"
    own = "semi_orthogonal: {backbone: resnet18, image: {size: 128}}"
    spec.write_text(f"image: {{size: [64, 96]}}\nalgorithms: {{{same}, {own}}}\n")
    found = estimates(workspace, "cap", ["padim", "semi_orthogonal"], 10, {})
    assert asked == [(["resnet18"], (64, 96)), (["resnet18"], (128, 128))]
    assert found["pace"] == {"resnet18": 0.064, "resnet18, 128 x 128": 0.128}
    assert found["seconds"] == {"padim": 1.3, "semi_orthogonal": 2.6} and found["size"] == [64, 96]
    spec.write_text(f"image: {{size: [64, 96]}}\nalgorithms: {{{same}}}\n")
    assert estimates(workspace, "cap", ["padim"], 10, {})["pace"] == {"resnet18": 0.064}


def test_a_batch_of_its_own_counts(workspace):
    spec = workspace.product("cap") / "product.yaml"
    seconds = []
    for batch in (1, 16):
        own = f"riad: {{training: {{batch_size: {batch}}}, batches: 10}}"
        spec.write_text(f"image: {{size: [64, 96]}}\nalgorithms: {{{own}}}\n")
        known = {"size": [64, 96], "pace": {"resnet18": 0.1}, "on": "here"}
        seconds.append(estimates(workspace, "cap", ["riad"], 16, known)["seconds"]["riad"])
    assert seconds[1] == pytest.approx(16 * seconds[0], rel=0.01)


@pytest.mark.parametrize("backbone", ["resnet18", "squeezenet1_1", "vit_tiny_patch16_224"])
def test_a_pass_is_measured_without_weights_and_changes_no_random_number(backbone, monkeypatch):
    monkeypatch.setattr(probe, "LONG", 0.0)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    took = probe.pass_seconds(backbone, (64, 96), torch.device("cpu"))
    assert 0 < took < 30 and torch.equal(torch.rand(1), expected)
