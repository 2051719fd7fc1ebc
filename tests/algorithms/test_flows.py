"""Flows against autograd Jacobians, inverses, and FrEIA's own block."""

import math

import numpy as np
import pytest
import torch
from FrEIA.modules import AllInOneBlock
from torch import nn

from ad_models.flows import Step, chain, energy, surprise

DIMS = [(5, 1, 1)]  # odd: the halves differ


def subnet(channels: int, out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 7, 3, padding=1), nn.Tanh(), nn.Conv2d(7, out, 3, padding=1)
    )


def stirred(flow: nn.Module) -> nn.Module:
    """In float64, with scales and shifts that are not those of a fresh flow."""
    for value in flow.parameters():
        nn.init.normal_(value, std=0.7)
    return flow.double()


@pytest.mark.parametrize("condition", [0, 2])
def test_log_determinant_is_that_of_the_jacobian_and_the_inverse_undoes(condition):
    flow = stirred(chain(5, [subnet] * 3, clamp=1.9, condition=condition))
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    c = [torch.randn(2, condition, 3, 4, dtype=torch.float64)] if condition else None
    z, determinant = flow(x, c)
    for i in range(2):
        own = [part[i : i + 1] for part in c] if c else None
        jacobian = torch.autograd.functional.jacobian(
            lambda v, own=own: flow(v.view(1, 5, 3, 4), own)[0].flatten(), x[i].flatten()
        )
        assert determinant[i].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item())
    back, undone = flow(z, c, rev=True)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(undone, -determinant)


def test_a_condition_changes_the_flow():
    flow = stirred(chain(4, [subnet], clamp=1.9, condition=2))
    x, c = torch.randn(1, 4, 3, 3).double(), torch.randn(1, 2, 3, 3).double()
    assert not torch.allclose(flow(x, [c])[0], flow(x, [c + 1])[0])


def test_a_step_is_freia_s_block_with_its_matrix_as_an_index():
    step = Step(DIMS, subnet_constructor=subnet, affine_clamping=1.3)
    block = AllInOneBlock(DIMS, subnet_constructor=subnet, affine_clamping=1.3)
    nn.init.normal_(step.global_scale)
    nn.init.normal_(step.global_offset)
    block.load_state_dict(step.state_dict(), strict=False)
    matrix = torch.eye(5)[step.order]
    block.w_perm.data = matrix.view(5, 5, 1, 1)
    block.w_perm_inv.data = matrix.T.reshape(5, 5, 1, 1)
    x = torch.randn(2, 5, 4, 3)
    for rev in (False, True):
        (ours,), our_determinant = step([x], rev=rev)
        (theirs,), their_determinant = block([x], rev=rev)
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(our_determinant, their_determinant)


def test_permutations_come_from_torch_s_seed_and_numpy_is_left_alone():
    def orders(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return [step.order.tolist() for step in chain(32, [subnet] * 2, clamp=2.0)]

    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    first = orders(1)
    assert np.random.random() == expected
    assert first == orders(1) != orders(2)
    assert first[0] != first[1]
    assert [sorted(order) for order in first] == [list(range(32))] * 2


def test_permutations_are_saved_with_the_flow():
    torch.manual_seed(3)
    one, other = (chain(16, [subnet] * 2, clamp=2.0) for _ in range(2))
    x = torch.randn(1, 16, 2, 2)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x)[0], other(x)[0])


def test_energy_is_the_negative_log_density():
    z = torch.randn(3, 4, 5, 6)
    normal = torch.distributions.Normal(0, 1).log_prob(z)
    constant = 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(energy(z), -(normal + constant).sum(dim=(1, 2, 3)))
    torch.testing.assert_close(surprise(z), -(normal + constant).mean(dim=1, keepdim=True))
