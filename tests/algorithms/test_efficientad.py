import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from ad_models import Batch, Run, create
from ad_models.algorithms.efficientad import Autoencoder, hardest
from ad_models.errors import ConfigError, InputError, WeightsError
from ad_models.patch_description import PatchDescription, Standard
from tests.test_contract import SMALL, texture

TINY = SMALL["efficientad"] | {"backbone": "drawnet", "weights": "random"}


def detector(**more):
    return create("efficientad", **(TINY | more)).eval()


def agreeing():
    """A detector whose student says what its teacher says."""
    model = detector()
    half = model.config.channels
    with torch.no_grad():
        for ours, theirs in zip(
            model.student.parameters(), model.teacher.parameters(), strict=True
        ):
            ours[: len(theirs)] = theirs
    assert model.student(texture(1, 0), kept=slice(0, half)).shape[1] == half
    return model


@pytest.mark.parametrize("size", ["small", "medium"])
def test_a_description_sees_33_pixels_and_moves_by_4(size):
    net = PatchDescription(size, 8, 16)
    for row, column in ((0, 0), (3, 7)):
        images = torch.randn(4, 3, 72, 72, requires_grad=True)
        net(images)[:, :, row, column].square().sum().backward()
        reached = images.grad.abs().sum((0, 1))
        for at, seen in ((row, reached.sum(1)), (column, reached.sum(0))):
            expected = torch.zeros(72, dtype=torch.bool)
            expected[4 * at : 4 * at + 33] = True
            assert torch.equal(seen > 0, expected)


@pytest.mark.parametrize("size", ["small", "medium"])
def test_descriptions_lie_on_the_paper_s_grids(size):
    net, images = PatchDescription(size, 4, 8), torch.zeros(1, 3, 256, 256)
    with torch.no_grad():
        assert net(images).shape == (1, 8, 56, 56)
        assert net(images, padded=True).shape == (1, 8, 64, 64)


def test_the_paper_s_networks_have_the_paper_s_sizes():
    def millions(net):
        return sum(p.numel() for p in net.parameters()) / 1e6

    with torch.device("meta"):
        found = [
            millions(PatchDescription(size, 128, outputs))
            for size in ("small", "medium")
            for outputs in (384, 768)
        ]
        autoencoder = Autoencoder(128, 384, 256)
        assert autoencoder.encoder(torch.zeros(1, 3, 256, 256)).shape[-2:] == (1, 1)
    assert found == pytest.approx([2.69, 4.27, 8.03, 11.6], abs=0.05)
    assert millions(autoencoder) == pytest.approx(1.10, abs=0.01)
    assert autoencoder.sides == [3, 8, 15, 32, 63, 127]


def test_the_hard_loss_is_of_what_lies_at_or_above_the_quantile():
    distances = torch.rand(1, 7, 13, 11)
    for share in (0.5, 0.9, 0.999):
        chosen = distances[distances >= distances.quantile(share)]
        assert torch.equal(hardest(distances, share).sort().values, chosen.sort().values)
    assert hardest(distances, 0).mean().item() == pytest.approx(distances.mean().item())


def test_a_student_that_agrees_has_an_empty_map_and_no_hard_loss():
    model = agreeing()
    images = texture(2, 0)
    with torch.no_grad():
        local, overall = model.maps(images).unbind(1)
        assert local.abs().max() < 1e-10 < overall.max()
        assert model.losses(images, None)["hard"] < 1e-10


def test_losses_against_their_definitions():
    model, images, natural = detector(), texture(1, 0), texture(1, 1)
    half = model.config.channels
    with torch.no_grad():
        losses = model.losses(images, natural)
        wanted, answers = model.teacher(images), model.student(images)[:, :half]
        distances = (wanted - answers) ** 2
        hard = distances[distances >= np.quantile(distances.numpy(), 0.999)].mean()
        assert losses["hard"].item() == pytest.approx(hard.item(), rel=1e-4)
        penalty = (model.student(natural)[:, :half] ** 2).mean()
        assert losses["penalty"].item() == pytest.approx(penalty.item(), rel=1e-4)
    assert "penalty" not in model.losses(images, None)


def test_quantiles_of_normals_become_0_and_a_tenth():
    model, normals = detector(), [Batch(texture(3, 0)), Batch(texture(2, 1))]
    model.calibrate(normals, Run())
    with torch.no_grad():
        found = [model.maps(batch.image) for batch in normals]
    for which in (0, 1):
        distances = np.concatenate([maps[:, which].numpy().ravel() for maps in found])
        low, high = np.quantile(distances, 0.9), np.quantile(distances, 0.995)
        assert model.bounds[which].tolist() == pytest.approx([low, high], rel=1e-5)
    low, high = model.bounds.T
    for level, expected in ((low, 0), (high, 0.1)):
        model.maps = lambda images, level=level: level.view(1, 2, 1, 1).expand(1, 2, 8, 8)
        inside = model(texture(1, 0)).map[..., 24:40, 24:40]
        assert inside.mean().item() == pytest.approx(expected, abs=1e-6)


def test_the_border_says_nothing():
    """No patch is centred on it: the distance there is 0, below all that good images show."""
    model = detector()
    model.calibrate([Batch(texture(3, 0))], Run())
    found = model(texture(1, 1)).map[0, 0]
    frame = torch.cat([found[0], found[-1], found[:, 0], found[:, -1]])
    assert frame.std() < 1e-6 and frame.max() < found[24:40, 24:40].min()


def test_standard_descriptions():
    maps = [5 + 3 * torch.randn(4, 6, 5, 5), 5 + 3 * torch.randn(2, 6, 5, 5)]
    standard = Standard(6)
    standard.learn(maps)
    whole = torch.cat([standard(m) for m in maps]).movedim(1, 0).flatten(1)
    torch.testing.assert_close(whole.mean(1), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.std(1, correction=0), torch.ones(6), atol=1e-5, rtol=0)
    assert standard.seen.tolist() == [2, 6]
    with pytest.raises(InputError, match="no images"):
        Standard(6).learn([])


def test_a_teacher_file_is_taken_whatever_its_names_and_never_moves(tmp_path):
    layers = []
    for conv in PatchDescription("small", 16, 16).layers:
        layers += [conv, nn.ReLU()]
    theirs = nn.Sequential(*layers).state_dict()
    torch.save(theirs, tmp_path / "teacher.pth")
    model = detector(teacher=str(tmp_path / "teacher.pth"), natural="drawn", steps=1)
    model.fit([Batch(texture(2, 0))])
    for ours, value in zip(model.teacher.parameters(), theirs.values(), strict=True):
        assert torch.equal(ours, value)
    assert model.weights.startswith("teacher.pth sha256:")
    assert model.weights.endswith("natural images: drawn")
    model.teacher.write(tmp_path / "again.safetensors")
    again = PatchDescription("small", 16, 16)
    again.read(tmp_path / "again.safetensors")
    assert torch.equal(again(texture(1, 0)), model.teacher(texture(1, 0)))
    with pytest.raises(WeightsError, match="no such teacher"):
        PatchDescription("medium", 16, 16).read(tmp_path / "teacher.pth")


def test_a_distilled_teacher_says_so_and_is_all_that_is_kept():
    model = detector(teacher_steps=1, steps=1).fit([Batch(texture(2, 0))])
    assert model.weights == "distilled from random; natural images: none"
    assert not any("pyramid" in name for name in model.state_dict())


def test_small_dark_squares_are_found():
    spoiled, masks = texture(12, 5), torch.zeros(12, 64, 64)
    for i in range(12):
        y, x = 8 + 3 * i, 44 - 3 * i
        masks[i, y : y + 8, x : x + 8] = 1
    spoiled = torch.where(masks.unsqueeze(1) > 0, -2.0, spoiled)
    model = detector(steps=160).fit([Batch(texture(16, 0))], normals=[Batch(texture(8, 1))])
    good, bad = model.predict(texture(12, 4)), model.predict(spoiled)
    assert roc_auc_score([0] * 12 + [1] * 12, torch.cat([good.score, bad.score])) > 0.95
    inside = (..., slice(16, -16), slice(16, -16))  # where patches are centred
    assert roc_auc_score(masks[inside].flatten(), bad.map[inside].flatten()) > 0.9


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("size", "large"), ("hard", 1.0), ("quantiles", (0.9, 0.5)), ("side", 100), ("width", 6)],
)
def test_config_names_the_field(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        create("efficientad", **{parameter: value})


def test_an_image_smaller_than_a_patch():
    with pytest.raises(InputError, match="at least 33"):
        detector().maps(torch.zeros(1, 3, 32, 64))
