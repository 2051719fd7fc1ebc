"""Part and background, against scikit-learn and scipy."""

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion
from sklearn.decomposition import PCA

from ad_models.foreground import first_component, foreground


def scene(inside, sign=1, seed=0):
    """Tokens (1, 16, 12, 10) along one direction, those `inside` a mask (12, 10) at one end."""
    g = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(torch.randn(16, generator=g), dim=0)
    at = torch.where(torch.as_tensor(inside), 25.0, -25.0) * sign
    noise = torch.randn(16, 12, 10, generator=g)
    return (direction[:, None, None] * at + noise)[None]


def box(top, left, bottom, right):
    inside = np.zeros((12, 10), bool)
    inside[top:bottom, left:right] = True
    return inside


def official(maps):
    """By the rules of the paper, in two dimensions."""
    rows = maps[0].flatten(1).T.double().numpy()
    component = PCA(1, svd_solver="full").fit_transform(rows)[:, 0].reshape(12, 10)
    kept = component > 10
    if kept[2:10, 2:8].mean() <= 0.35:
        kept = -component > 10
    square = np.ones((3, 3), bool)
    grown = binary_dilation(kept, square, iterations=2)
    return binary_erosion(grown, square, border_value=1)  # as OpenCV: the border takes nothing off


@pytest.mark.parametrize("seed", range(3))
def test_the_component_is_that_of_scikit_learn(seed):
    torch.manual_seed(seed)
    tokens = torch.randn(2, 120, 16) * torch.linspace(3, 1, 16)
    found = first_component(tokens)
    for one, of in zip(found, tokens, strict=True):
        expected = PCA(1, svd_solver="full").fit_transform(of.double().numpy())[:, 0]
        assert np.corrcoef(one, expected)[0, 1] > 0.99


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("inside", [box(3, 2, 9, 8), box(0, 0, 12, 6), box(2, 2, 10, 5)])
def test_the_mask_is_that_of_the_paper(inside, sign):
    maps = scene(inside, sign)
    assert np.array_equal(foreground(maps)[0].bool().numpy(), official(maps))


def test_a_part_in_the_middle_is_found_whichever_end_it_is():
    for sign in (1, -1):
        found = foreground(scene(box(3, 3, 9, 7), sign))[0].bool().numpy()
        assert np.array_equal(found, box(2, 2, 10, 8))  # grown by one token


def test_small_holes_are_closed():
    inside = box(3, 2, 9, 8)
    inside[5, 4] = False
    assert foreground(scene(inside))[0, 5, 4] == 1


def test_a_graph_holds_it(tmp_path):
    class Mask(torch.nn.Module):
        def forward(self, maps):
            return foreground(maps)

    maps = torch.cat([scene(box(3, 2, 9, 8)), scene(box(0, 0, 12, 6), -1), scene(box(5, 4, 7, 6))])
    torch.onnx.export(
        Mask().eval(), (maps,), str(tmp_path / "mask.onnx"), dynamo=True, verbose=False
    )
    session = onnxruntime.InferenceSession(tmp_path / "mask.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: maps.numpy()})
    assert np.array_equal(found, foreground(maps).numpy())


def test_where_nothing_stands_out_nothing_is_masked():
    assert foreground(torch.randn(2, 16, 12, 10)).min() == 1
