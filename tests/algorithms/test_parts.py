"""Shared ideas of the algorithms, each against an independent formula."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ad_models import neighbours
from ad_models.features import Pyramid
from ad_models.gaussian import RunningGaussian, whitening
from ad_models.maps import finish, smooth
from ad_models.neighbours import CORE, nearest


@pytest.mark.parametrize("shape", [(300, 129), (9, 7)])  # several blocks; smaller than the kernel
def test_smooth_equals_scipy(shape):
    maps = torch.rand(2, 1, *shape, dtype=torch.float64)
    expected = np.stack([gaussian_filter(m, sigma=2.5) for m in maps[:, 0].numpy()])
    np.testing.assert_allclose(smooth(maps, 2.5)[:, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("sigma", [0, 0.6, 4])
@pytest.mark.parametrize("shapes", [((7, 30), (100, 333)), ((1, 5), (40, 200)), ((64, 9), (32, 9))])
def test_finish_enlarges_and_then_smooths(shapes, sigma):
    maps = torch.rand(2, 1, *shapes[0], dtype=torch.float64)
    large = F.interpolate(maps, size=shapes[1], mode="bilinear")[:, 0].numpy()
    expected = np.stack([gaussian_filter(one, sigma=sigma) if sigma else one for one in large])
    np.testing.assert_allclose(finish(maps, shapes[1], sigma)[:, 0].numpy(), expected, atol=1e-12)


def test_what_overflowed_stays_in_its_place():
    maps = torch.rand(1, 1, 32, 32)
    maps[0, 0, 3, 3] = torch.inf
    for found in (finish(maps, (256, 256), 4), smooth(maps, 1)):
        assert found.isfinite().all() and found.amax() > 1e30
        assert found[..., -20:].amax() <= 1


@pytest.mark.parametrize("dims", [1, 4, 5, 9])
@pytest.mark.parametrize("images", [2, 4, 5, 50])  # some of them wait, all of them, or none
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_running_gaussian_equals_numpy_where_the_mean_is_large(dims, images, batch):
    x = torch.randn(images, 70, dims) * 0.05 + 300
    gaussian = RunningGaussian(70, dims, x.device)
    for part in x.split(batch):
        gaussian.update(part)
    mean, covariance = gaussian.estimate()
    for position in range(70):
        expected = np.cov(x[:, position].double().numpy(), rowvar=False)
        np.testing.assert_allclose(covariance[position], expected, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-6)


def test_whitening_holds_at_sizes_where_batched_inverses_fail():
    # 200 dimensions and 16 positions on two threads: batched LU on a CPU gives wrong numbers there
    torch.set_num_threads(2)
    rows = torch.randn(16, 400, 200)
    covariance = rows.mT @ rows / 400
    factors = whitening(covariance.clone(), 0.01, block=5)
    torch.set_num_threads(1)
    eye = torch.eye(200)
    product = factors @ (covariance + 0.01 * eye) @ factors.mT
    torch.testing.assert_close(product, eye.expand_as(product), atol=2e-4, rtol=0)


def test_whitening_refuses_what_is_no_covariance():
    covariance = torch.eye(4).repeat(3, 1, 1)
    covariance[2, 2, 2] = -1
    with pytest.raises(np.linalg.LinAlgError, match="raise epsilon"):
        whitening(covariance, 0.01, block=2)


@pytest.fixture(params=["_faiss", "_products"])
def searcher(request, monkeypatch):
    monkeypatch.setattr(neighbours, "_on_cpu", lambda x: request.param == "_faiss")
    monkeypatch.setattr(neighbours, "BLOCK", 7)


def test_nearest_equals_brute_force_across_blocks(searcher):
    x, bank = torch.randn(3, 5, 4), torch.randn(30, 4)
    distance, index = nearest(x, bank)
    expected = torch.cdist(x.flatten(0, 1), bank).min(1)
    torch.testing.assert_close(distance.flatten(), expected.values)
    assert torch.equal(index.flatten(), expected.indices)


@pytest.mark.parametrize(("queries", "rows", "dims"), [(784, 3000, 384), (10, 5000, 40)])
def test_every_way_to_search_gives_one_answer(queries, rows, dims):
    torch.manual_seed(0)
    x, bank = torch.randn(queries, dims) + 5, torch.randn(rows, dims) + 5
    exact = torch.cdist(x.double(), bank.double())
    for search in (neighbours._faiss, neighbours._products):
        found = exact.gather(1, search(x, bank)[:, None])[:, 0]
        torch.testing.assert_close(found, exact.min(1).values, rtol=1e-5, atol=0)


LOADED = """
import os, threadpoolctl, torch
from ad_models.neighbours import CORE, CORES, nearest
TOLD = os.environ.get(CORE)
nearest(torch.rand(2, 4), torch.rand(3, 4))
assert os.environ.get(CORE) == TOLD
libraries = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
found = [one["architecture"] for one in libraries if "faiss" in one["filepath"]]
print(found == [TOLD or CORES.get(torch.backends.cpu.get_cpu_capability(), *found)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="FAISS is not used elsewhere")
@pytest.mark.parametrize("told", [None, "Prescott"])
def test_faiss_multiplies_with_what_the_processor_has_or_the_user_says(told, monkeypatch):
    monkeypatch.delenv(CORE, raising=False)
    if told:
        monkeypatch.setenv(CORE, told)
    words = [sys.executable, "-c", LOADED]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "True", ended.stderr


def test_nearest_of_what_is_no_number_is_no_number(searcher):
    x = torch.randn(4, 3)
    x[1] = torch.nan
    distance, _ = nearest(x, torch.randn(9, 3))
    assert distance.isnan().tolist() == [False, True, False, False]


@pytest.mark.gpu
def test_a_gpu_finds_the_same_neighbours():
    x, bank = torch.randn(500, 128), torch.randn(5000, 128)
    here, there = nearest(x, bank), nearest(x.cuda(), bank.cuda())
    torch.testing.assert_close(here[0], there[0].cpu(), rtol=1e-4, atol=1e-4)


def test_nearest_of_a_member_is_exactly_zero(searcher):
    bank = torch.randn(20, 6) * 1000
    distance, index = nearest(bank, bank)
    assert torch.equal(distance, torch.zeros(20)) and torch.equal(index, torch.arange(20))


@pytest.mark.parametrize(
    ("backbone", "layers", "channels"),
    [
        ("resnet18", ("layer1", "layer3"), [64, 256]),
        ("wide_resnet50_2", ("layer2",), [512]),
        ("densenet121", ("features.denseblock1", "features.denseblock2"), [256, 512]),
        ("squeezenet1_1", ("features.4", "features.7"), [128, 256]),
        ("efficientnet_b0", ("features.2", "features.4"), [24, 80]),
        ("regnet_y_400mf", ("trunk_output.block1", "trunk_output.block2"), [48, 104]),
        ("mnasnet0_5", ("layers.8", "layers.9"), [16, 24]),
        ("shufflenet_v2_x0_5", ("stage2", "stage3"), [48, 96]),
        ("swin_t", ("features.1", "features.3"), [96, 192]),
    ],
)
def test_pyramids_of_many_backbones(backbone, layers, channels):
    pyramid = Pyramid(backbone, layers, "random")
    assert pyramid.channels == channels
    assert not any(p.requires_grad for p in pyramid.parameters())
    assert not pyramid.train().training
    first, *deeper = [f.shape[-2:] for f in pyramid(torch.zeros(1, 3, 96, 64))]
    assert first[0] > first[1]  # as the image
    assert all(first[0] >= later[0] > later[1] for later in deeper)
