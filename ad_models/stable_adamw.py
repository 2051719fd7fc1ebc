"""StableAdamW: AdamW whose step is shorter where a gradient is far larger than those before it.

Wortsman et al., NeurIPS 2023, https://arxiv.org/abs/2304.13013
"""

from typing import Any

import torch
from torch import Tensor

MOMENTS = ("mean", "square", "largest")


class StableAdamW(torch.optim.Optimizer):
    """With the largest second moment so far (AMSGrad) in place of the present one, as Dinomaly's
    official code has it. `lr` is divided by the root mean square of gradient over denominator, of
    each tensor, where that is above 1. Weight decay is decoupled and comes first."""

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        epsilon: float = 1e-8,
    ) -> None:
        given = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "epsilon": epsilon}
        super().__init__(params, given)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            lr, (first, second) = group["lr"], group["betas"]
            for weights in group["params"]:
                gradient, state = weights.grad, self.state[weights]
                if not state:
                    state["step"] = 0
                    state |= {name: torch.zeros_like(weights) for name in MOMENTS}
                state["step"] += 1
                state["mean"].lerp_(gradient, 1 - first)
                state["square"].lerp_(gradient.square(), 1 - second)
                torch.maximum(state["largest"], state["square"], out=state["largest"])
                spread = state["largest"].sqrt() / (1 - second ** state["step"]) ** 0.5
                spread += group["epsilon"]
                size = lr / (1 - first ** state["step"])
                size = size / root_mean_square(gradient / spread).clamp(min=1)
                weights.mul_(1 - lr * group["weight_decay"]).sub_(size * state["mean"] / spread)


def root_mean_square(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()
