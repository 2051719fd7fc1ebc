"""AnomalyDINO and Dinomaly beside the torch models of anomalib, with the same random weights.

python tests/benchmarks/bench_peer_vit.py [--backbone vit_small_patch14_reg4_dinov2] [--images 2]

Needs anomalib (2.7 was tried) beside this package. Images are drawn and of the size that the ViT
was made for, because the two resample its position embedding otherwise. Printed is the largest
difference of each stage, as a share of the largest value there: tokens, what is rebuilt, distances,
maps, scores, and the loss and gradients of one step with and without mining.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import timm
import torch
from torch import Tensor, nn

from ad_models import Batch, Run, create
from ad_models.loose_decoder import apart, loose_loss, mined

SEEN = 518  # pixels, of DINOv2


@contextmanager
def untrained() -> Iterator[None]:
    """Inside, timm downloads nothing."""
    known = timm.create_model

    def without(*names: str, **options: object) -> nn.Module:
        return known(*names, **options | {"pretrained": False, "pretrained_cfg": None})

    with mock.patch.object(timm, "create_model", without):
        yield


def tell(name: str, ours: Tensor, theirs: Tensor) -> None:
    """Print the largest difference of two tensors of as many values."""
    one, other = ours.detach().flatten(), theirs.detach().flatten()
    print(f"{name:<34} {float((one - other).abs().max() / other.abs().max().clamp(min=1e-12)):.1e}")


def same_weights(theirs: nn.Module, net: nn.Module) -> None:
    """Give the peer's ViT our weights; blocks that we cut off are not read."""
    theirs.load_state_dict(net.state_dict(), strict=False)


def anomalydino(backbone: str, images: Tensor) -> None:
    from anomalib.models.image.anomaly_dino.torch_model import AnomalyDINOModel

    ours = create(
        "anomalydino", backbone=backbone, size=SEEN, weights="random", turns=1, turned_below=0
    )
    with untrained():
        theirs = AnomalyDINOModel(encoder_name=backbone)
    same_weights(theirs.feature_encoder.feature_extractor, ours.turned.tokens.net)
    ours.fit([Batch(images[1:])], Run())
    with torch.no_grad():
        theirs.train()
        theirs.feature_encoder.eval()
        theirs(images[1:])
        theirs.fit()
        theirs.eval()
        found, expected = ours.predict(images), theirs(images)
    tell("anomalydino bank", ours.bank, theirs.memory_bank)
    tell("anomalydino score", found.score, expected.pred_score)
    tell("anomalydino map", found.map, expected.anomaly_map)


def dinomaly(backbone: str, images: Tensor) -> None:
    from anomalib.models.image.dinomaly.torch_model import DinomalyModel

    ours = create("dinomaly", backbone=backbone, size=SEEN, weights="random", dropout=0.0)
    with untrained():
        theirs = DinomalyModel(encoder_name=backbone, bottleneck_dropout=0.0)
    same_weights(theirs.encoder.feature_extractor, ours.encoder.net)
    theirs.encoder.num_register_tokens = ours.encoder.prefixes - 1
    pairs = list(modules(ours, theirs))
    for one, other in pairs:
        other.load_state_dict(one.state_dict(), strict=False)  # biases are 0; the peer lacks some
    ours.eval()
    theirs.eval()
    with torch.no_grad():
        tokens = ours.embed(images)
        wanted, rebuilt = ours.patches(tokens), ours.patches(ours.rebuild(tokens))
        en, de = theirs.get_encoder_decoder_outputs(images)
        for group in range(2):
            tell(f"dinomaly tokens, group {group}", wanted[:, group].mT, en[group].flatten(2))
            tell(f"dinomaly rebuilt, group {group}", rebuilt[:, group].mT, de[group].flatten(2))
        far = torch.stack(
            [1 - torch.cosine_similarity(e, d) for e, d in zip(en, de, strict=True)], dim=1
        )
        tell("dinomaly distances", apart(wanted, rebuilt), far)
        tell("dinomaly score", ours(images).score, theirs(images).pred_score)
    for step in (0, 600):
        ours.zero_grad()
        theirs.zero_grad()
        found = loose_loss(
            wanted, ours.patches(ours.rebuild(tokens)), mined(step, ours.config), ours.config.eased
        )
        found.backward()
        theirs.train()
        theirs.encoder.eval()
        expected = theirs(images, global_step=step)
        expected.backward()
        tell(f"dinomaly loss, step {step}", found, expected)
        for name, at in (("bottleneck", 0), ("first block", 3), ("last block", -2)):
            one, other = (module.weight.grad for module in pairs[at])
            tell(f"dinomaly gradient, step {step}, {name}", one, other)


def modules(ours: nn.Module, theirs: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Pairs of modules with parameters, in the order of the network."""
    bottleneck = theirs.bottleneck[0]
    yield ours.bottleneck[1], bottleneck.fc1
    yield ours.bottleneck[4], bottleneck.fc2
    for one, other in zip(ours.decoder, theirs.decoder, strict=True):
        yield one.norm1, other.norm1
        yield one.attention.qkv, other.attn.qkv
        yield one.attention.proj, other.attn.proj
        yield one.norm2, other.norm2
        yield one.mlp[0], other.mlp.fc1
        yield one.mlp[2], other.mlp.fc2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="vit_small_patch14_reg4_dinov2")
    parser.add_argument("--images", type=int, default=2)
    options = parser.parse_args()
    images = torch.randn(options.images, 3, SEEN, SEEN, generator=torch.Generator().manual_seed(0))
    print("largest difference, as a share of the largest value")
    anomalydino(options.backbone, images)
    dinomaly(options.backbone, images)


if __name__ == "__main__":
    main()
