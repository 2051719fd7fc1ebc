import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from ad_models import Batch, create
from ad_models.algorithms.semi_orthogonal import semi_orthogonal
from ad_models.errors import ConfigError, InputError
from ad_models.features import stack

FULL = 448  # channels of a ResNet-18's three layers


def model(**more):
    parameters = {"backbone": "resnet18", "weights": "random", "sigma": 0} | more
    return create("semi_orthogonal", **parameters)


def distances(detector, images, query):
    """Of the 8x8 grid of a 32x32 image: (64,)."""
    detector.fit([Batch(images[:3]), Batch(images[3:])])
    with torch.no_grad():
        patches, _ = detector.embed(query)
        return torch.einsum("pij,bpj->bpi", detector.whiten, patches - detector.mean).norm(dim=-1)[
            0
        ]


def stacked(detector, images):
    """Whole features (B, P, 448)."""
    with torch.no_grad():
        return stack(detector.pyramid(images)).flatten(2).mT.double()


def test_columns_are_orthonormal():
    basis = semi_orthogonal(448, 100, 0).double()
    torch.testing.assert_close(basis.T @ basis, torch.eye(100).double(), atol=1e-6, rtol=0)


def test_directions_are_uniform():
    """Of uniform orthonormal matrices entries have mean 0; without the signs QR's first row leans.

    Over 400 matrices the mean of an entry of variance 1 / 6 has a standard error of 0.02.
    """
    many = torch.stack([semi_orthogonal(6, 3, seed) for seed in range(400)])
    assert many.mean(dim=0).abs().max() < 0.08
    assert many.square().mean(dim=0).sub(1 / 6).abs().max() < 0.04


def test_embedding_is_the_projected_stack():
    detector = model(dims=30)
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        patches, grid = detector.embed(images)
    assert grid == (16, 8)
    expected = stacked(detector, images) @ detector.basis.double()
    torch.testing.assert_close(patches.double(), expected, rtol=1e-4, atol=1e-4)


def test_map_is_the_mahalanobis_distance_of_each_position():
    detector, images, query = model(dims=12), torch.randn(9, 3, 32, 32), torch.randn(1, 3, 32, 32)
    found = distances(detector, images, query)
    basis = detector.basis.double()
    normal, patch = (stacked(detector, x) @ basis for x in (images, query))
    for position in (0, 9, 63):
        rows = normal[:, position].numpy()
        covariance = np.cov(rows, rowvar=False, bias=True) + 0.01 * np.eye(12)
        expected = mahalanobis(patch[0, position].numpy(), rows.mean(0), np.linalg.inv(covariance))
        assert float(found[position]) == pytest.approx(expected, rel=1e-3)


def test_all_dimensions_give_the_distance_of_the_whole_covariance():
    detector, images, query = model(dims=FULL), torch.randn(6, 3, 32, 32), torch.randn(1, 3, 32, 32)
    found = distances(detector, images, query)
    normal, patch = stacked(detector, images), stacked(detector, query)
    for position in (0, 40):
        rows = normal[:, position].numpy()
        covariance = np.cov(rows, rowvar=False, bias=True) + 0.01 * np.eye(FULL)
        expected = mahalanobis(patch[0, position].numpy(), rows.mean(0), np.linalg.inv(covariance))
        assert float(found[position]) == pytest.approx(expected, rel=1e-3)


def test_unit_vectors_are_padim():
    """Scatter is divided by N here and by N - 1 there: with ridges in that proportion, all
    distances are, too."""
    images, query = torch.randn(6, 3, 32, 32), torch.randn(1, 3, 32, 32)
    padim = create("padim", backbone="resnet18", weights="random", dims=5, epsilon=0.06)
    detector = model(dims=5, epsilon=0.05)  # so few that PaDiM takes no smaller form either
    detector.basis = torch.eye(FULL)[:, padim.kept]
    detector.pyramid.load_state_dict(padim.pyramid.state_dict())
    torch.testing.assert_close(
        distances(detector, images, query),
        distances(padim, images, query) * (6 / 5) ** 0.5,
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_rotation_of_the_basis_changes_no_distance():
    images, query = torch.randn(7, 3, 32, 32), torch.randn(1, 3, 32, 32)
    one, other = model(dims=16), model(dims=16)
    other.basis = one.basis @ semi_orthogonal(16, 16, 5)
    torch.testing.assert_close(
        distances(one, images, query), distances(other, images, query), rtol=1e-3, atol=1e-3
    )


def test_one_image_is_too_few():
    with pytest.raises(InputError, match="at least 2"):
        model(dims=5).fit([Batch(torch.randn(1, 3, 32, 32))])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"dims": 0}, "dims"), ({"epsilon": 0}, "epsilon"), ({"dims": 449}, "resnet18 gives 448")],
)
def test_out_of_range(wrong, said):
    with pytest.raises(ConfigError, match=said):
        model(**wrong)
