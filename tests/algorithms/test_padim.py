import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from ad_models import Batch, create, load
from ad_models.errors import ConfigError, InputError
from ad_models.features import stack


def small(**more):
    return create("padim", backbone="drawnet", weights="random", dims=12, sigma=0, **more)


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


@pytest.mark.parametrize("dims", [1, 12, 448])
def test_kept_channels_are_those_of_the_stack(dims):
    detector = create("padim", backbone="resnet18", weights="random", dims=dims)
    images = torch.randn(2, 3, 72, 56)
    for kept in (detector.kept, detector.kept.flip(0), 447 - detector.kept):
        detector.load_state_dict(detector.state_dict() | {"kept": kept})
        patches, grid = detector.embed(images)
        stacked = stack(detector.pyramid(images))
        assert stacked.shape[-2:] == grid
        assert torch.equal(patches, stacked[:, kept].flatten(2).mT)


def test_one_image_is_too_few():
    with pytest.raises(InputError, match="at least 2"):
        small().fit([Batch(torch.randn(1, 3, 32, 32))])


def test_more_dims_than_the_backbone_has():
    with pytest.raises(ConfigError, match="resnet18 gives 448"):
        create("padim", backbone="resnet18", weights="random", dims=449)


def few(**more):
    """128 dimensions, of which a dozen images fill eleven."""
    return create(
        "padim", backbone="resnet18", weights="random", dims=128, sigma=0, layers=["layer2"], **more
    )


def parts(images, size):
    return [Batch(part) for part in images.split(size)]


def with_covariances(detector, loader):
    """The detector fitted as if it did not know how few the images are."""
    return detector.fit(part for part in loader)


def test_with_fewer_images_than_dimensions_distances_are_the_same():
    images, query = torch.randn(11, 3, 64, 64), torch.randn(3, 3, 64, 64)
    for size in (4, 11):  # 4: one row stays free
        small, large = few().fit(parts(images, size)), with_covariances(few(), parts(images, size))
        assert small.rows.numel() and not large.rows.numel()
        assert small.whiten.numel() < large.whiten.numel() / 50
        for seen in (images, query):
            torch.testing.assert_close(
                small.predict(seen).map, large.predict(seen).map, rtol=1e-3, atol=1e-3
            )


def test_the_form_for_few_images_is_saved_and_exported(tmp_path):
    import onnxruntime

    detector = few().fit(parts(torch.randn(6, 3, 64, 64), 6))
    detector.save(tmp_path / "model.safetensors")
    detector.export(tmp_path / "model.onnx", (64, 64))
    query = torch.randn(3, 3, 64, 64)
    expected = detector.predict(query).map
    assert torch.equal(load(tmp_path / "model.safetensors").predict(query).map, expected)
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    _, maps = session.run(None, {"images": query.numpy()})
    torch.testing.assert_close(torch.from_numpy(maps), expected, rtol=1e-3, atol=1e-4)


def test_an_exported_model_leaves_out_a_quarter_of_the_factors(tmp_path):
    """Each is a lower triangle: a square of zeros need not be read for each image."""
    detector = few().fit(parts(torch.randn(80, 3, 128, 128), 8))
    detector.export(tmp_path / "model.onnx", (128, 128))
    whole = detector.whiten.numel() * 4
    rest = sum(one.numel() * 4 for one in detector.parameters()) + 300_000
    assert (tmp_path / "model.onnx").stat().st_size < 0.75 * whole + rest
    assert whole > 4 * rest


@pytest.mark.parametrize("start", [6, 40, 76])  # few images; few that become many; many
def test_an_update_equals_a_fresh_fit(start):
    images, query = torch.randn(90, 3, 32, 32), torch.randn(3, 3, 32, 32)
    first, rest = parts(images[:start], 5), parts(images[start:], 7)
    detector = few().fit(first).update(rest)
    fresh = few().fit(parts(images, 16))
    assert int(detector.count) == int(fresh.count) == 90
    torch.testing.assert_close(detector.mean, fresh.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        detector.predict(query).map, fresh.predict(query).map, rtol=2e-3, atol=1e-3
    )


def test_an_update_of_few_images_stays_in_their_form():
    images, query = torch.randn(20, 3, 32, 32), torch.randn(3, 3, 32, 32)
    detector = few().fit(parts(images[:8], 8)).update(parts(images[8:], 12))
    fresh = few().fit(parts(images, 20))
    assert detector.rows.shape == fresh.rows.shape
    torch.testing.assert_close(detector.predict(query).map, fresh.predict(query).map)
