import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from ad_models import Batch, create
from ad_models.errors import ConfigError, InputError


def small(**more):
    return create("padim", backbone="resnet18", weights="random", dims=12, sigma=0, **more)


def test_map_is_the_mahalanobis_distance_of_each_position():
    detector = small(layers=["layer1"])
    images = torch.randn(20, 3, 32, 32)
    detector.fit([Batch(images)])
    query = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        normal, _ = detector.embed(images)
        patches, grid = detector.embed(query)
        whitened = torch.einsum("pij,bpj->bpi", detector.whiten, patches - detector.mean)
    for position in (0, 5, grid[0] * grid[1] - 1):
        rows = normal[:, position].double().numpy()
        inverse = np.linalg.inv(np.cov(rows, rowvar=False) + 0.01 * np.eye(12))
        expected = mahalanobis(patches[0, position].double().numpy(), rows.mean(0), inverse)
        assert float(whitened[0, position].norm()) == pytest.approx(expected, rel=1e-4)


def test_one_image_is_too_few():
    with pytest.raises(InputError, match="at least 2"):
        small().fit([Batch(torch.randn(1, 3, 32, 32))])


def test_more_dims_than_the_backbone_has():
    with pytest.raises(ConfigError, match="resnet18 gives 448"):
        create("padim", backbone="resnet18", weights="random", dims=449)
