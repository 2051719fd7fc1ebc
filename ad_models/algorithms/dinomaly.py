"""Dinomaly: a ViT of transformer blocks rebuilds the tokens of a frozen ViT, but only loosely.

Guo et al., CVPR 2025, https://arxiv.org/abs/2405.14325

Idea: a decoder that is good at rebuilding also rebuilds anomalies. Four plain means keep it from
that. The encoder is a ViT that was taught on all kinds of images (DINOv2). The bottleneck is an MLP
with dropout. The attention of the decoder is linear, and so cannot focus on single tokens. And what
is compared are two groups of layers, each as its mean, by one cosine over the whole image, to which
the points that are rebuilt well already give a tenth of their gradient.

Differs from the paper: images are brought to `size` pixels (392, and so are those of `preset:
paper`), where the official code makes them 448 and cuts 392 out of the middle, so that a rim is not
seen. timm resamples the position embedding otherwise than the official code. Tokens are computed
once and kept in half precision. The last batch of a pass over the images may be smaller.

Published image AUROC: one model for all products, ViT-B: MVTec AD .996, VisA .987, Real-IAD .893.
One model for each product of MVTec AD, 5000 steps (anomalib): .997 on average.
"""

from dataclasses import dataclass

from ad_models.loose_decoder import LooseConfig, LooseDecoder


@dataclass(frozen=True)
class DinomalyConfig(LooseConfig):
    steps: int = 5000  # of one product; official code
    epsilon: float = 1e-8  # of StableAdamW; official code


class Dinomaly(LooseDecoder):
    Config = DinomalyConfig
