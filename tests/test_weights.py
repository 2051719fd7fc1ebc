"""Where backbone weights come from, and what is said where they cannot be had."""

import pytest
import torch
from torchvision.models import get_model, resnet18, resnet34, squeezenet1_1

from ad_models.errors import WeightsError
from ad_models.features import Pyramid

LAYERS = ("layer1", "layer2")
CONTAINED = [("squeezenet1_1", ("features.4",)), ("mnasnet0_5", ("layers.8",))]


@pytest.fixture
def state(tmp_path):
    """A file named as torchvision names it."""
    torch.manual_seed(5)
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save(resnet18().state_dict(), path)
    return path


def first(weights):
    return pyramid_of(weights).net.conv1.weight


def pyramid_of(weights):
    return Pyramid("resnet18", LAYERS, weights, folded=False)


def test_a_file_and_a_folder_and_the_environment(state, monkeypatch):
    expected = torch.load(state, weights_only=True)["conv1.weight"]
    assert torch.equal(first(str(state)), expected)
    assert torch.equal(first(str(state.parent)), expected)
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(state.parent))
    assert torch.equal(first("imagenet"), expected)
    pyramid = pyramid_of("imagenet")
    assert pyramid.source.startswith("resnet18-f37072fd.pth sha256:")
    assert Pyramid("resnet18", LAYERS, "random").source == "random"


def test_partial_and_half_precision_files(tmp_path):
    whole = resnet18().state_dict()
    part = {
        k: v.half() for k, v in whole.items() if k.startswith(("conv1", "bn1", "layer1", "layer2"))
    }
    part = {k: v for k, v in part.items() if "num_batches" not in k}
    torch.save(part, tmp_path / "resnet18.pth")
    found = first(str(tmp_path / "resnet18.pth"))
    assert found.dtype == torch.float32
    assert torch.equal(found, part["conv1.weight"].float())


def test_weights_of_another_network(tmp_path):
    torch.save(squeezenet1_1().state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(
        WeightsError, match=r"resnet18\.pth is of another network: it has no tensor"
    ):
        Pyramid("resnet18", LAYERS, str(tmp_path / "resnet18.pth"))


@pytest.mark.parametrize(
    ("wrapped", "said"),
    [
        (lambda _: resnet34().state_dict(), r"of another network: it also has 'layer1\.2\.conv1"),
        (
            lambda state: {f"module.{name}": value for name, value in state.items()},
            r"no tensor 'conv1\.weight', but 'module\.conv1\.weight': save it without 'module\.'",
        ),
        (lambda state: {"state_dict": state}, r"one at \['state_dict'\]: save that alone"),
    ],
)
def test_a_deeper_network_and_a_wrapped_one_are_told(tmp_path, wrapped, said):
    torch.save(wrapped(resnet18().state_dict()), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=said):
        Pyramid("resnet18", LAYERS, str(tmp_path / "w.pth"))


@pytest.mark.parametrize(("backbone", "layers"), CONTAINED)
def test_layers_behind_the_last_one_may_be_in_the_file(tmp_path, backbone, layers):
    torch.save(get_model(backbone).state_dict(), tmp_path / "w.pth")
    assert Pyramid(backbone, layers, str(tmp_path / "w.pth")).source.startswith("w.pth")


def test_an_error_of_the_environment_names_the_variable(state, monkeypatch):
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(state))
    said = r"INSPECTLINE_WEIGHTS is set.*wide_resnet50_2.*of another network.*a folder with a file"
    with pytest.raises(WeightsError, match=said):
        Pyramid("wide_resnet50_2", ("layer1",), "imagenet")


def test_a_missing_layer_is_named(tmp_path):
    state = {k: v for k, v in resnet18().state_dict().items() if not k.startswith("layer2")}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"no tensor 'layer2\.0"):
        Pyramid("resnet18", LAYERS, str(tmp_path / "w.pth"))


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"conv1.weight": pytest.raises}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"no readable state dict: .*save model\.state_dict"):
        Pyramid("resnet18", LAYERS, str(tmp_path / "w.pth"))


def test_no_file_and_no_file_of_this_name(tmp_path):
    with pytest.raises(WeightsError, match="no weights file at"):
        Pyramid("resnet18", LAYERS, str(tmp_path / "absent.pth"))
    with pytest.raises(
        WeightsError, match=r"no weights for resnet18; download .*resnet18-f37072fd"
    ):
        Pyramid("resnet18", LAYERS, str(tmp_path))


def test_without_a_network_imagenet_says_how_and_auto_goes_on(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("socket.create_connection", refused)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    with pytest.raises(WeightsError, match="set INSPECTLINE_WEIGHTS"):
        Pyramid("resnet18", LAYERS, "imagenet")
    assert Pyramid("resnet18", LAYERS, "auto").source == "random"


def test_real_weights(real_weights):
    pyramid = Pyramid("resnet18", ("layer1", "layer2", "layer3"), str(real_weights))
    assert pyramid.source.startswith("resnet18_imagenet_layers123.pth")
