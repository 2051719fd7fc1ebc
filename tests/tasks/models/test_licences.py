"""A licence of its own goes with the weights into each model, and into each release."""

import dataclasses
import shutil

import pytest
import timm
import torch

from ad_models import Run, create
from ad_models.licences import is_own, licence_in, licence_texts
from tasks.models.licences import keep_licence, require_licence
from tasks.workspace.errors import DataError
from tasks.workspace.files import write_json
from tasks.workspace.paths import CARD

TINY = "test_vit"
OWN = "dinov3-license"  # what the tiny encoder claims here


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The file of a tiny random encoder that claims a licence of its own."""
    about = dataclasses.replace(timm.get_pretrained_cfg(TINY), license=OWN)
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: about)
    monkeypatch.delenv("INSPECTLINE_WEIGHTS", raising=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(timm.create_model(TINY).state_dict(), folder / f"{TINY}.pth")
    return folder / f"{TINY}.pth"


@pytest.fixture
def model(weights, tmp_path):
    """What a fit says of its weights, its parameters, and a folder for it."""
    chosen = {"backbone": TINY, "block": 0, "size": 32, "weights": str(weights)}
    folder = tmp_path / "model"
    folder.mkdir()
    source = create("anomalydino", **chosen).weights
    write_json(folder / CARD, {"backbone_weights": source, "parameters": chosen})
    return folder, source, chosen


def test_a_text_beside_the_weights_goes_into_the_model_and_then_the_release(
    weights, model, tmp_path
):
    folder, source, chosen = model
    assert licence_in(source) == OWN
    (weights.parent / "LICENSE.md").write_text("terms")
    keep_licence(folder, source, chosen)
    assert (folder / "weights-LICENSE.md").read_text() == "terms"
    weights.unlink()  # another machine publishes
    release = shutil.copytree(folder, tmp_path / "release")
    require_licence(release)
    calibrated = tmp_path / "calibrated"  # for a product, of a model that products share
    calibrated.mkdir()
    keep_licence(calibrated, source, chosen, folder)
    assert (calibrated / "weights-LICENSE.md").read_text() == "terms"


def test_a_text_that_is_put_there_after_the_fit_is_found(weights, model):
    folder, source, chosen = model
    keep_licence(folder, source, chosen)
    assert not list(folder.glob("weights-*"))
    with pytest.raises(DataError) as told:
        require_licence(folder)
    for word in (OWN, str(weights.parent), "LICENSE.md", "run again"):
        assert word in str(told.value)
    (weights.parent / "LICENSE.md").touch()  # says nothing
    with pytest.raises(DataError):
        require_licence(folder)
    (weights.parent / "licence.txt").write_text("terms")
    require_licence(folder)
    assert [path.name for path in folder.glob("weights-*")] == ["weights-licence.txt"]


def test_where_the_weights_are_elsewhere_a_folder_in_the_environment_is_enough(
    weights, model, tmp_path, monkeypatch
):
    folder, *_ = model
    weights.unlink()
    with pytest.raises(
        DataError, match=r"not on this machine; get LICENSE\.md .*INSPECTLINE_WEIGHTS"
    ):
        require_licence(folder)
    (tmp_path / "LICENSE.md").write_text("terms")
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(tmp_path))
    require_licence(folder)
    assert (folder / "weights-LICENSE.md").read_text() == "terms"


def test_random_weights_and_known_licences_need_no_text(weights, tmp_path):
    chosen = {"backbone": TINY, "block": 0, "size": 32, "weights": "random"}
    assert licence_in(create("anomalydino", **chosen).weights) == ""
    (weights.parent / "LICENSE.md").write_text("terms")
    for source in (None, "", "random", "imagenet resnet18.pth", "x of y, licence apache-2.0"):
        write_json(tmp_path / CARD, {"backbone_weights": source, "parameters": chosen})
        require_licence(tmp_path)
    assert not list(tmp_path.glob("weights-*"))
    assert not is_own("mit") and is_own("nvidia-open-model-license")


def test_a_model_that_is_loaded_still_says_its_licence(model, tmp_path):
    from ad_models import Batch, load

    _, source, chosen = model
    detector = create("anomalydino", **chosen).fit([Batch(torch.randn(2, 3, 32, 32))], Run())
    detector.save(tmp_path / "model.safetensors")
    assert licence_in(load(tmp_path / "model.safetensors").weights) == OWN == licence_in(source)


def test_a_download_brings_the_text_of_its_repository(weights, tmp_path, monkeypatch):
    """timm's download holds the weights only; the text is put beside them."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    snapshot = tmp_path / f"hf/hub/models--timm--{TINY}.r160_in1k/snapshots/1"

    def download(*_, **__):
        snapshot.mkdir(parents=True)
        shutil.copy(weights, snapshot / "pytorch_model.bin")
        return torch.load(weights, weights_only=True)

    def ask(repository, name):
        assert repository.startswith("timm/")
        (snapshot / name).write_text("terms")

    monkeypatch.setattr("ad_models.vit_weights.hub_unreachable", str)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", ask)
    chosen = {"backbone": TINY, "block": 0, "size": 32, "weights": "pretrained"}
    source = create("anomalydino", **chosen).weights
    assert [path.name for path in licence_texts(snapshot)] == ["LICENSE.md"]
    keep_licence(tmp_path, source, chosen)
    assert (tmp_path / "weights-LICENSE.md").read_text() == "terms"
