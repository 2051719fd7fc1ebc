"""AdamP: Adam that does not increase the norm of scale-invariant weights.

Heo et al., ICLR 2021, https://arxiv.org/abs/2006.08217
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-8


class AdamP(torch.optim.Optimizer):
    """Adam with decoupled weight decay. Of weights that look scale-invariant (their gradient is
    orthogonal to them) an update keeps only what is orthogonal, and decay acts a tenth as much."""

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        delta: float = 0.1,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "delta": delta}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            lr, (first, second) = group["lr"], group["betas"]
            for weights in group["params"]:
                gradient, state = weights.grad, self.state[weights]
                if not state:
                    state |= {"step": 0, "mean": gradient * 0, "square": gradient * 0}
                state["step"] += 1
                state["mean"].lerp_(gradient, 1 - first)
                state["square"].lerp_(gradient.square(), 1 - second)
                mean = state["mean"] / (1 - first ** state["step"])
                spread = (state["square"] / (1 - second ** state["step"])).sqrt()
                update, decay = projected(mean / (spread + TINY), weights, gradient, group["delta"])
                weights.mul_(1 - lr * group["weight_decay"] * decay).sub_(lr * update)


def projected(
    update: Tensor, weights: Tensor, gradient: Tensor, delta: float
) -> tuple[Tensor, float]:
    """The update without its component along the weights, and the factor of weight decay; algorithm
    1. Per unit, otherwise for the whole layer, if gradients are orthogonal."""
    for units in (len(weights), 1) if weights.ndim > 1 else ():
        w, g, u = (t.reshape(units, -1) for t in (weights, gradient, update))
        if F.cosine_similarity(w, g).abs().max() < delta / w.shape[1] ** 0.5:
            along = w / (w.norm(dim=1, keepdim=True) + TINY)
            return (u - along * (along * u).sum(1, keepdim=True)).view_as(weights), 0.1
    return update, 1.0
