"""Numbers marked `official` are what the functions of the official code gave."""

import pytest
import torch
import torch.nn.functional as F

from ad_models import Batch, Run, config, create
from ad_models.errors import Cancelled, ConfigError
from ad_models.loose_decoder import (
    LinearAttention,
    apart,
    blurred,
    loose_loss,
    mined,
    rate,
)
from ad_models.maps import window
from ad_models.stable_adamw import StableAdamW

TINY = {"backbone": "test_vit", "size": 32, "weights": "random", "steps": 3, "batch": 4}
TINY |= {"warmup": 2, "mining": 2}
FOUR = {"blocks": (0, 1, 2, 3)}


def detector_of(**more):
    return create("dinomaly", **(TINY | FOUR | more))


def counted(*shape, over=1):
    size = torch.Size(shape).numel()
    return torch.arange(float(size)).view(shape) / over


def test_linear_attention():
    layer = LinearAttention(4, 2)
    with torch.no_grad():
        layer.qkv.weight.copy_(counted(12, 4, over=48) - 0.5)
        layer.qkv.bias.copy_(counted(12, over=12))
        layer.proj.weight.copy_(torch.eye(4))
        layer.proj.bias.zero_()
        found = layer(counted(1, 3, 4, over=12)).flatten()
    official = [1.020789, 1.249572, 1.529663, 1.770174, 1.021313, 1.250316, 1.530219, 1.770857]
    official += [1.021825, 1.251043, 1.530719, 1.771471]
    assert found.tolist() == pytest.approx(official, abs=2e-6)


def test_linear_attention_is_a_mean_of_values_by_a_kernel():
    layer = LinearAttention(8, 2)
    x = torch.randn(3, 5, 8)
    query, key, value = layer.qkv(x).chunk(3, dim=-1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        q, k = F.elu(query[..., head]) + 1, F.elu(key[..., head]) + 1
        weights = torch.einsum("bnd,bmd->bnm", q, k)
        heads.append(weights / weights.sum(-1, keepdim=True) @ value[..., head])
    torch.testing.assert_close(layer(x), layer.proj(torch.cat(heads, dim=-1)))


def tokens_of(maps):
    """Maps (2, h, w) of one image as tokens (1, 1, P, 2)."""
    return torch.tensor(maps).flatten(1).T[None, None].float()


WANTED = tokens_of([[[1, 0], [0, 1]], [[0, 1], [1, 0]]])
REBUILT = tokens_of([[[1, 0.5], [0, 1]], [[0.2, 1], [1, -1]]])


@pytest.mark.parametrize(
    ("share", "official"),
    [
        (0.5, [-0.005301, 0.082190, 0, -0.053012, 0.003288, -0.053012, -0.005301, -0.164379]),
        (0.0, [-0.053012, 0.082190, 0, -0.053012, 0.032876, -0.053012, -0.053012, -0.164379]),
    ],
)
def test_the_loss_and_its_gradient(share, official):
    leaf = REBUILT.clone().requires_grad_()
    loss = loose_loss(WANTED, leaf * 1, share, 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0.130435, abs=1e-6)
    assert leaf.grad[0, 0].T.flatten().tolist() == pytest.approx(official, abs=1e-6)
    points = apart(WANTED, REBUILT).flatten().tolist()
    assert points == pytest.approx([0.019419, 0.105573, 0, 0.292893], abs=1e-6)


def test_each_group_has_its_own_points_to_ease():
    wanted, leaf = torch.randn(2, 3, 2, 5, 4).unbind(0)
    leaf = leaf.clone().requires_grad_()
    loose_loss(wanted, leaf * 1, 0.7, 0.25).backward()
    eased, leaf.grad = leaf.grad, None
    loose_loss(wanted, leaf * 1, 0.0, 0.25).backward()
    ratio = (eased / leaf.grad)[..., 0]
    assert [int((ratio[:, group] > 0.9).sum()) for group in (0, 1)] == [4, 4]  # int(15 * 0.3)
    assert ratio.min() == pytest.approx(0.25)


def test_how_many_points_are_eased():
    given = config("dinomaly")
    assert [mined(step, given) for step in (0, 500, 1000, 4000)] == [0, 0.45, 0.9, 0.9]
    wanted, leaf = torch.randn(2, 16, 1, 784, 2).unbind(0)
    leaf = leaf.clone().requires_grad_()
    loose_loss(wanted, leaf * 1, 0.9, 0.0).backward()
    assert (
        int((leaf.grad != 0).any(-1).sum()) == 1254
    )  # of 12544: 1 - 0.9 is a little less than 0.1


def test_stable_adamw():
    weights = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = StableAdamW([weights], 2e-3, weight_decay=1e-4)
    official = [[0.997999847, -1.997999668], [0.996322632, -1.999223709]]
    for gradient, expected in zip(([0.5, -0.1], [0.4, 3.0]), official, strict=True):
        weights.grad = torch.tensor(gradient)
        optimiser.step()
        assert weights.tolist() == pytest.approx(expected, abs=2e-7)


def test_stable_adamw_goes_on_from_its_state():
    def steps(weights, optimiser, gradients):
        for gradient in gradients:
            weights.grad = gradient.clone()
            optimiser.step()
        return optimiser.state_dict()

    gradients = [torch.randn(3) * size for size in (9, 1, 1, 1)]  # the first is the largest
    straight = torch.nn.Parameter(torch.ones(3))
    steps(straight, StableAdamW([straight], 0.01), gradients)
    begun = torch.nn.Parameter(torch.ones(3))
    state = steps(begun, StableAdamW([begun], 0.01), gradients[:2])
    again = StableAdamW([begun], 0.01)
    again.load_state_dict(state)
    steps(begun, again, gradients[2:])
    assert torch.equal(straight, begun)
    assert {"mean", "square", "largest", "step"} == set(state["state"][0])


def test_the_rate():
    given = config("dinomaly")
    at = [rate(step, given) for step in (0, 1, 50, 99, 100, 2550, 4999)]
    official = [0, 2.0202e-5, 1.010101e-3, 2e-3, 2e-3, 1.1e-3, 2e-4]
    assert at == pytest.approx(official, abs=1e-9)


def test_the_window():
    kernel = window(5, 4.0)
    first = [0.035204, 0.038664, 0.039891, 0.038664, 0.035204]
    assert kernel[0].tolist() == pytest.approx(first, abs=1e-6)
    assert float(kernel[2, 2]) == pytest.approx(0.045203, abs=1e-6)
    flat = blurred(torch.ones(1, 1, 7, 7))[0, 0]
    assert float(flat[3, 3]) == pytest.approx(1) and float(flat[0, 3]) < 0.7  # zeros beyond


def test_halves_are_rebuilt_crosswise():
    detector = detector_of().eval()
    tokens = torch.randn(2, 2, 5, 64)
    with torch.no_grad():
        x, outputs = detector.bottleneck(tokens.mean(1)), []
        for block in detector.decoder:
            x = block(x)
            outputs.append(x)
        found = detector.rebuild(tokens)
    torch.testing.assert_close(found[:, 0], (outputs[3] + outputs[2]) / 2)  # of the first blocks
    torch.testing.assert_close(found[:, 1], (outputs[1] + outputs[0]) / 2)


def test_what_is_read_of_the_encoder():
    detector, images = detector_of(), torch.randn(2, 3, 32, 32)
    outputs = detector.encoder.net.forward_intermediates(
        images, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
    )
    whole = [torch.cat([prefix, patches], dim=1) for patches, prefix in outputs]
    expected = torch.stack([(whole[0] + whole[1]) / 2, (whole[2] + whole[3]) / 2], dim=1)
    torch.testing.assert_close(detector.embed(images), expected)
    torch.testing.assert_close(detector.patches(expected), expected[:, :, 1:])
    centred = detector_of(recentred=True).embed(images)
    torch.testing.assert_close(centred, expected[:, :, 1:] - expected[:, :, :1])
    assert torch.equal(detector.patches(centred), centred)


@pytest.mark.parametrize(
    ("backbone", "first", "last"),
    [("vit_small_patch14_dinov2", [2, 3, 4, 5], [6, 7, 8, 9]),
     ("vit_large_patch14_dinov2", [4, 6, 8, 10], [12, 14, 16, 18])],
)  # fmt: skip
def test_which_blocks_are_rebuilt(backbone, first, last):
    with torch.device("meta"):
        detector = create("dinomaly", backbone=backbone, weights="random", size=28)
    assert detector.encoder.groups == [first, last]
    assert len(detector.encoder.net.blocks) == last[-1] + 1 and len(detector.decoder) == 8


def test_the_parameters_that_are_trained():
    with torch.device("meta"):
        small = create("dinomaly", backbone="vit_small_patch14_dinov2", weights="random", size=28)
    trained = [*small.bottleneck.parameters(), *small.decoder.parameters()]
    assert sum(p.numel() for p in trained) == pytest.approx(15.4e6, rel=0.01)
    widths = detector_of().decoder[0].mlp[0].weight.detach()
    assert 0.008 < float(widths.std()) < 0.01 and widths.abs().max() <= 0.03


def test_only_the_decoder_learns():
    detector = detector_of()
    before = {k: v.clone() for k, v in detector.encoder.state_dict().items()}
    start = detector.decoder[0].mlp[0].weight.clone()
    detector.fit([Batch(torch.randn(6, 3, 32, 32))])
    assert all(torch.equal(before[k], v) for k, v in detector.encoder.state_dict().items())
    assert all(p.grad is None for p in detector.encoder.parameters())
    assert not torch.equal(start, detector.decoder[0].mlp[0].weight)
    assert detector.record == {"seen_height": 32, "seen_width": 32, "images": 6}


def test_where_all_is_rebuilt_nothing_is_found():
    detector = detector_of().fit([Batch(torch.randn(4, 3, 32, 32))])
    detector.rebuild = lambda tokens: tokens
    found = detector.predict(torch.randn(2, 3, 32, 32))
    assert found.map.abs().max() < 1e-6 and found.score.abs().max() < 1e-6


def test_the_score_is_the_mean_of_655_pixels():
    detector = detector_of().fit([Batch(torch.randn(4, 3, 256, 256))])
    found = detector.predict(torch.randn(2, 3, 256, 256))
    highest = found.map.flatten(1).sort(dim=1, descending=True).values[:, :655]
    torch.testing.assert_close(found.score, highest.mean(1))


def test_a_checkpoint_has_the_whole_state_of_the_optimiser(tmp_path):
    stops = iter([False] * 70 + [True])
    path = tmp_path / "fit.ckpt"
    run = Run(checkpoint=path, save_every=0, should_stop=lambda: next(stops))
    with pytest.raises(Cancelled):
        detector_of(steps=90).fit([Batch(torch.randn(4, 3, 32, 32))], run)
    (entry,) = torch.load(path, weights_only=True)["stages"].values()
    (_, optimiser), done = entry["states"], entry["done"]
    assert done == 1
    assert all(
        one["step"] == 50 and (one["largest"] >= one["square"]).all()
        for one in optimiser["state"].values()
    )


@pytest.mark.parametrize(
    "wrong", [{"blocks": (0,)}, {"dropout": 1.0}, {"mining": 0}, {"clip": 0.0}, {"last_lr": 0.0}]
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        detector_of(**wrong)


def test_a_network_of_another_depth_needs_its_blocks_named():
    with pytest.raises(ConfigError, match="has 6 blocks: name those"):
        detector_of(blocks=())
