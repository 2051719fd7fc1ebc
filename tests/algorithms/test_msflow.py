import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from ad_models import Batch, create
from ad_models.algorithms.msflow import Fusion, position_code, rate, subnet
from ad_models.errors import ConfigError
from ad_models.flows import chain
from tests.algorithms.weaves import squares, weave


def detector(**more):
    return create("msflow", backbone="drawnet", weights="random", **{"blocks": [1, 1, 1]} | more)


def test_flows_have_the_size_of_the_published_model():
    channels, blocks = [256, 512, 1024], (2, 5, 8)
    with torch.device("meta"):  # no numbers are needed
        flows = [
            chain(count, [subnet] * n, 1.9, 64) for count, n in zip(channels, blocks, strict=True)
        ]
        parts = [*flows, Fusion(channels, 1.9)]
    millions = [sum(p.numel() for p in part.parameters()) / 1e6 for part in parts]
    assert millions == pytest.approx([1.55, 12.0, 66.4, 19.6], rel=5e-3)


def test_fusion_s_log_determinant_is_that_of_its_jacobian_and_the_inverse_undoes():
    torch.manual_seed(0)
    fusion = Fusion([8, 16], clamp=1.9).double()
    for value in fusion.parameters():
        nn.init.normal_(value, std=0.5)
    shapes = [(8, 4, 4), (16, 2, 2)]
    maps = [torch.randn(2, *shape, dtype=torch.float64) for shape in shapes]

    def flat(x):
        parts = x.split([128, 64])
        z, _ = fusion([p.view(1, *shape) for p, shape in zip(parts, shapes, strict=True)])
        return torch.cat([part.flatten() for part in z])

    z, determinant = fusion(maps)
    for i in range(2):
        x = torch.cat([part[i].flatten() for part in maps])
        jacobian = torch.autograd.functional.jacobian(flat, x)
        assert determinant[i].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item())
        exchanged = [jacobian[:128, 128:], jacobian[128:, :128]]  # between the scales
        assert all(part.abs().max() > 1e-3 for part in exchanged)
    back, undone = fusion(z, rev=True)
    torch.testing.assert_close(back, maps)
    torch.testing.assert_close(undone, -determinant)


def test_position_code_is_its_formula_and_tells_all_positions_apart():
    code = position_code(8, 5, 7)
    assert code.shape == (1, 8, 5, 7)
    for i, frequency in enumerate((1, 0.01)):
        for start, at in ((0, 6.0), (4, 3.0)):  # x of column 6, y of row 3
            angle = torch.tensor(at * frequency)
            found = code[0, [start + i, start + 2 + i], 3, 6]
            torch.testing.assert_close(found, torch.stack([angle.sin(), angle.cos()]))
    assert len(code[0].flatten(1).T.unique(dim=0)) == 35


def with_z(model, z):
    model.transform = lambda _: (z, torch.zeros(2))
    return model(torch.zeros(2, 3, 64, 64))


def test_map_is_the_sum_over_scales_and_the_score_the_top_of_their_product():
    model = detector(top=0.1).eval()
    z = [torch.randn(2, 4, 64, 64), torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)]
    score, maps = with_z(model, z)
    up = nn.Upsample(size=(64, 64), mode="bilinear", align_corners=True)
    logs = [-0.5 * (part**2).mean(1, keepdim=True) for part in z]
    for i in range(2):
        summed = sum(up(torch.exp(log[i : i + 1] - log[i].max())) for log in logs)
        torch.testing.assert_close(maps[i : i + 1], summed.max() - summed)
        assert maps[i].min() == 0
        product = torch.exp(sum(up(log[i : i + 1]) for log in logs))
        worst = (1 - product / product.max()).flatten().sort(descending=True).values
        paper = worst[: int(0.1 * 64 * 64)].mean().item()
        assert 1 - math.exp(-score[i].item()) == pytest.approx(paper, rel=1e-5)


def test_scores_of_large_defects_do_not_tie():
    z = [torch.zeros(2, 4, side, side) for side in (16, 8, 4)]
    z[0][0, :, 4:12, 4:12], z[0][1, :, 4:12, 4:12] = 20.0, 21.0
    score, _ = with_z(detector().eval(), z)
    assert score[1] > score[0] + 1 > 100


def test_where_all_is_equally_likely_the_map_is_zero():
    z = [torch.zeros(2, 4, side, side) for side in (16, 8, 4)]
    score, maps = with_z(detector().eval(), z)
    torch.testing.assert_close(score, torch.zeros(2))
    assert not maps.any()


def test_the_border_of_the_features_is_like_the_rest():
    model = detector().eval()
    for features in model.pyramid(torch.ones(1, 3, 64, 64)):
        torch.testing.assert_close(features, features[..., :1, :1].expand_as(features))


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.1), (6, 0.55), (12, 1), (69, 1), (70, 0.33), (89, 0.33), (90, 0.33**2), (99, 0.33**2)],
)
def test_rate_of_a_hundred_epochs(epoch, expected):
    assert rate(epoch / 100) == pytest.approx(expected)


def test_a_bright_square_is_found():
    model = detector(layers=["layer1", "layer2"], blocks=[2, 2], epochs=8, lr=1e-3)
    model.fit([Batch(weave(8, seed)) for seed in range(4)])
    images, masks = squares(weave(32, 10))
    score, maps = model.predict(images)
    assert roc_auc_score(masks.flatten(1).any(1), score) > 0.95
    assert roc_auc_score(masks.flatten(), maps.flatten()) > 0.9


@pytest.mark.parametrize("wrong", [{"blocks": [1, 1]}, {"position": 6}, {"top": 0}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        detector(**wrong)
