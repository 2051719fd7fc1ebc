import onnxruntime
import pytest
import torch

from ad_models import Batch, create
from ad_models.errors import ConfigError
from tests.algorithms.strokes import batches, discs, found

SMALL = {"side": 64, "code": 16, "width": 8, "epochs": 20, "lr": 3e-3, "batches": 4}


@pytest.mark.parametrize("loss", ["ssim", "l2"])
def test_painted_strokes_are_found(loss):
    at = found(create("autoencoder", **SMALL | {"loss": loss, "epochs": 40}).fit(batches()))
    assert at.image > 0.95 and at.pixel > 0.9


@pytest.mark.parametrize("loss", ["ssim", "l2"])
def test_a_perfect_copy_has_no_residual(loss):
    detector = create("autoencoder", **SMALL | {"loss": loss})
    detector.net = torch.nn.Identity()
    assert detector.residual(torch.rand(2, 3, 64, 64)).abs().max() < 1e-5


def test_l2_is_the_mean_square_over_channels():
    detector = create("autoencoder", **SMALL | {"loss": "l2"})
    views = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = ((views - detector.net(views)) ** 2).sum(1) / 3
        torch.testing.assert_close(detector.residual(views)[:, 0], expected)


def test_images_of_any_size_come_back_at_their_size():
    detector = create("autoencoder", **SMALL | {"epochs": 1}).fit([Batch(discs(4, 0, 96))])
    assert detector.predict(torch.randn(2, 3, 80, 112)).map.shape == (2, 1, 80, 112)


@pytest.mark.parametrize(("size", "stride"), [((48, 64), 20), ((80, 50), None)])
def test_patches_and_resized_images_export(tmp_path, size, stride):
    parameters = {"side": 32, "stride": stride, "code": 8, "width": 4, "epochs": 1, "batches": 1}
    detector = create("autoencoder", **parameters).fit([Batch(discs(4, 0, 96))])
    detector.export(tmp_path / "model.onnx", size)
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    images = torch.randn(3, 3, *size)
    _, maps = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(
        torch.from_numpy(maps), detector.predict(images).map, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("wrong", [{"loss": "l1"}, {"code": 0}, {"side": 100}, {"stride": 0}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("autoencoder", **wrong)
