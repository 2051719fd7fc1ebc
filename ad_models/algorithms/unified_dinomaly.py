"""Dinomaly that learns once from all products.

Guo et al., CVPR 2025, https://arxiv.org/abs/2405.14325

Idea: the decoder of `dinomaly` is held back so much that one model can hold the normal
tokens of many products. This is the case that the paper is about. A product needs no learning of
its own: each only sets its threshold, with images that were not learned from.

Differs from the paper: as `dinomaly`. What a new product looks like is not learned: it is judged by
what the others taught, until it is among those.

Published image AUROC of one model for all products, ViT-B: MVTec AD .996, VisA .987, Real-IAD .893.
"""

from dataclasses import dataclass

from ad_models.loose_decoder import LooseConfig, LooseDecoder


@dataclass(frozen=True)
class UnifiedDinomalyConfig(LooseConfig):
    steps: int = 10000  # for MVTec AD or VisA; official code (50000 for Real-IAD)
    epsilon: float = 1e-10  # of StableAdamW; official code

    @property
    def shots(self) -> int:
        """Images that a product calibrates on: none."""
        return 0


class UnifiedDinomaly(LooseDecoder):
    Config = UnifiedDinomalyConfig
    per_product = ("top",)
