"""Tokens of a frozen ViT: which, at which size, with weights from where."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from ad_models import create
from ad_models.errors import ConfigError, WeightsError
from ad_models.run import Run
from ad_models.seen import Seen
from ad_models.tokens import Tokens, Turned, turned
from ad_models.weight_files import at_hand, file_names

TINY = "test_vit"  # of timm: patches of 16 pixels, 64 numbers, 6 blocks
DINO = "vit_small_patch14_dinov2.lvd142m"
REGISTERS = "vit_small_patch14_reg4_dinov2.lvd142m"
THREE = "vit_small_patch16_dinov3.lvd1689m"


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    for name in ("HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


def small(backbone):
    """A network with the keys of `backbone`, of which one block is left: a second less a test."""
    torch.manual_seed(3)
    net = timm.create_model(backbone, depth=1, dynamic_img_size=False)
    for value in net.state_dict().values():
        value.normal_()
    return net


@pytest.fixture
def shallow(monkeypatch):
    """timm makes its networks with one block, which takes a tenth of the time."""
    made = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, **more: made(name, **more | {"depth": 1})
    )


@pytest.mark.parametrize("norm", [False, True])
def test_tokens_are_those_of_timm(norm):
    tokens = Tokens(TINY, ((1, 2), (-1,)), (64, 96), "random", norm=norm)
    net = timm.create_model(TINY, dynamic_img_size=False)
    net.set_input_size(img_size=(64, 96))
    net.load_state_dict(tokens.net.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 96)
    found = net.eval().forward_intermediates(images, norm=norm, intermediates_only=True)
    first, last = tokens(images)
    torch.testing.assert_close(first, (found[1] + found[2]) / 2)
    torch.testing.assert_close(last, found[5])
    assert first.shape == (2, 64, 4, 6) and tokens.channels == 64


@pytest.mark.parametrize("backbone", [TINY, REGISTERS, THREE])
def test_prefix_tokens_come_first(backbone, shallow):
    plain, whole = (Tokens(backbone, ((0,),), 32, "random", prefix=prefix) for prefix in (0, 1))
    whole.net.load_state_dict(plain.net.state_dict())
    images = torch.randn(2, 3, *plain.size)
    tokens = whole(images)[0]
    assert whole.prefixes == (1 if backbone == TINY else 5)
    assert tokens.shape == (2, plain.channels, whole.prefixes + plain.grid.numel(), 1)
    torch.testing.assert_close(tokens[:, :, whole.prefixes :, 0], plain(images)[0].flatten(2))


def test_only_the_blocks_asked_for_are_there_and_nothing_learns():
    tokens = Tokens(TINY, ((0,), (1,)), 32, "random").train()
    assert len(tokens.net.blocks) == 2 and not tokens.net.training
    assert not any(p.requires_grad for p in tokens.parameters())
    with pytest.raises(ConfigError, match="blocks 0 to 5, and no block 6"):
        Tokens(TINY, ((6,),), 32, "random")


def test_a_size_is_made_a_multiple_of_the_patch_and_said(shallow):
    tokens, said = Tokens(DINO, ((0,),), (256, 400), "random"), []
    assert tokens.size == (252, 406) and tuple(tokens.grid) == (18, 29)
    assert tokens(torch.randn(1, 3, 60, 50))[0].shape == (1, 384, 18, 29)
    tokens.tell(Run(say=said.append))
    assert said[0].startswith("the ViT sees 252 x 406 pixels of each image: 18 x 29 tokens, about ")
    assert tokens.record == {"seen_height": 252, "seen_width": 406}
    assert Tokens(TINY, ((0,),), 3, "random").size == (16, 16)


@pytest.mark.parametrize("size", [-1, 0, (0, 64)])
def test_a_size_of_no_pixel_is_refused(size):
    with pytest.raises(ConfigError, match="at least 1 pixel"):
        Tokens(TINY, ((1,),), size, "random")


def test_random_weights_are_those_of_the_seed():
    one, again, other = (
        create("anomalydino", backbone=TINY, weights="random", size=32, seed=seed)
        for seed in (1, 1, 2)
    )
    images = torch.randn(1, 3, 32, 32)
    assert one.weights == "random"
    assert torch.equal(one.turned(images)[0], again.turned(images)[0])
    assert not torch.equal(one.turned(images)[0], other.turned(images)[0])


def test_what_differs_has_another_identity():
    def identities(**more):
        torch.manual_seed(0)
        return Tokens(TINY, **({"groups": ((0,), (1,)), "size": 32, "weights": "random"} | more))

    plain = identities().identities()
    assert len(set(plain)) == 2 and plain == identities().identities()
    for more in ({"norm": True}, {"prefix": True}, {"size": 48}):
        assert not set(plain) & set(identities(**more).identities())
    views = Turned(identities(groups=((0,),)))
    views.turns.fill_(4)
    assert len(set(views.identities())) == 4


def as_meta_writes(net):
    """The state dict of a DINOv2 with registers in Meta's keys."""
    state = dict(net.state_dict())
    before = torch.randn(1, 1, 384)
    state["register_tokens"] = state.pop("reg_token")
    state["cls_token"] = state["cls_token"] - before
    state["pos_embed"] = torch.cat([before, state["pos_embed"]], dim=1)
    return state | {"mask_token": torch.zeros(1, 384)}


def test_files_with_the_keys_of_timm_and_of_meta(tmp_path, shallow, monkeypatch):
    net = small(REGISTERS)
    images = torch.randn(1, 3, 28, 28)
    save_file(net.state_dict(), tmp_path / f"{REGISTERS}.safetensors")
    meta = tmp_path / "meta"
    meta.mkdir()
    torch.save(as_meta_writes(net), meta / "dinov2_vits14_reg4_pretrain.pth")
    (meta / "dinov2_vits14_pretrain.pth").touch()  # without registers: not the one that is read
    net.set_input_size(img_size=(28, 28))
    expected = net.eval().forward_intermediates(images, intermediates_only=True)[0]
    for place in (tmp_path, tmp_path / f"{REGISTERS}.safetensors", meta):
        tokens = Tokens(REGISTERS, ((0,),), 28, str(place))
        torch.testing.assert_close(tokens(images)[0], expected, rtol=1e-4, atol=1e-4)
        assert "sha256:" in tokens.source and tokens.source.endswith("licence apache-2.0")
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(meta))
    found = Tokens(REGISTERS, ((0,),), 28).source
    assert found.startswith(f"{REGISTERS} of dinov2_vits14_reg4_pretrain.pth sha256:")
    assert Tokens(REGISTERS, ((0,),), 28, "random").source == "random"


def test_a_file_of_another_network_and_code_in_a_file(tmp_path, shallow):
    torch.save(small(TINY).state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth is of another network"):
        Tokens(DINO, ((0,),), 28, str(tmp_path / "other.pth"))
    state = small(TINY).state_dict()
    state.popitem()
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match="Missing key"):
        Tokens(TINY, ((0,),), 32, str(tmp_path / "less.pth"))
    torch.save({"cls_token": pytest.raises}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match="no readable state dict"):
        Tokens(DINO, ((0,),), 28, str(tmp_path / "code.pth"))


def test_a_download_is_recorded_as_it_is_when_it_is_there(tmp_path, shallow, monkeypatch):
    hub = tmp_path / f"HF_HOME/hub/models--timm--{DINO}/snapshots/1"

    def download(*_, **__):
        hub.mkdir(parents=True)
        state = small(DINO).state_dict()
        save_file(state, hub / "model.safetensors")
        return state

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", download)
    monkeypatch.setattr("ad_models.vit_weights.hub_unreachable", str)
    first, again = (Tokens(DINO, ((0,),), 28) for _ in range(2))
    assert first.source == again.source and "model.safetensors sha256:" in first.source
    images = torch.randn(1, 3, 28, 28)
    assert torch.equal(first(images)[0], again(images)[0])


def test_without_weights_it_is_said_how_and_auto_goes_on(tmp_path, shallow, monkeypatch):
    def refused(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refused)
    monkeypatch.setattr("ad_models.vit_weights.hub_unreachable", str)
    with pytest.raises(WeightsError, match=r"no route to host.*") as told:
        Tokens(DINO, ((0,),), 28)
    assert f"{DINO}.safetensors or dinov2_vits14_pretrain.pth" in str(told.value)
    with pytest.raises(WeightsError, match="no weights file at"):
        Tokens(DINO, ((0,),), 28, str(tmp_path / "absent.pth"))
    with pytest.raises(WeightsError, match=f"no weights for {DINO}"):
        Tokens(DINO, ((0,),), 28, str(tmp_path))
    assert Tokens(DINO, ((0,),), 28, "auto").source == "random"


def test_names_that_are_no_plain_vit():
    with pytest.raises(ConfigError, match="no ViT 'vit_tiny_dino'"):
        Tokens("vit_tiny_dino", ((0,),), 28, "random")
    with pytest.raises(ConfigError, match="no plain vision transformer"):
        Tokens("test_resnet", ((0,),), 28, "random")


def test_the_work_of_an_image_is_that_of_its_blocks():
    tokens = Tokens("vit_small_patch14_dinov2", ((-1,),), 392, "random")
    assert tokens.products == pytest.approx(22.3, abs=0.1)  # 12 blocks, 785 tokens of 384 values


def test_a_licence_that_is_not_free_is_told(tmp_path, shallow):
    save_file(
        small(THREE).state_dict(), tmp_path / "dinov3_vits16_pretrain_lvd1689m-08c6.safetensors"
    )
    said, tokens = [], Tokens(THREE, ((0,),), 32, str(tmp_path))
    tokens.tell(Run(say=said.append))
    assert "times the work of a ResNet-18" in said[0]
    assert "dinov3-license" in said[1] and "dinov3-license" in tokens.source


@pytest.mark.parametrize(
    ("backbone", "last"),
    [
        (DINO, "dinov2_vits14_pretrain"),
        ("vit_large_patch14_reg4_dinov2", "dinov2_vitl14_reg4_pretrain"),
        (THREE, "dinov3_vits16_pretrain_lvd1689m"),
        ("vit_huge_plus_patch16_dinov3.lvd1689m", "dinov3_vithplus16_pretrain_lvd1689m"),
        ("vit_7b_patch16_dinov3.lvd1689m", "dinov3_vit7b16_pretrain_lvd1689m"),
        (TINY, TINY),
    ],
)
def test_names_of_files(backbone, last):
    assert file_names(backbone)[-1] == last


def test_what_is_at_hand(tmp_path, monkeypatch):
    assert at_hand(DINO) is None
    hub = tmp_path / "HF_HOME/hub/models--timm--vit_small_patch14_dinov2.lvd142m/snapshots/1"
    hub.mkdir(parents=True)
    (hub / "model.safetensors").touch()
    assert at_hand(DINO) == at_hand("vit_small_patch14_dinov2") == hub / "model.safetensors"
    assert at_hand(REGISTERS) is None and at_hand(DINO, "random") is None
    checkpoints = tmp_path / "TORCH_HOME/hub/checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "dinov2_vits14_reg4_pretrain.pth").touch()
    assert at_hand(REGISTERS, "auto") == checkpoints / "dinov2_vits14_reg4_pretrain.pth"
    other = tmp_path / "resnet18.pth"
    other.touch()
    assert at_hand(DINO, str(other)) == other  # a person named it
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(other))
    assert at_hand(DINO) is None
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(hub))
    assert at_hand(DINO) is None  # not named by backbone
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(tmp_path / "absent"))
    assert at_hand(DINO) is None


def test_a_turn_by_a_quarter_is_exact_and_the_border_is_mirrored():
    images = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(turned(images, 90), images.rot90(-1, (2, 3)), rtol=1e-4, atol=1e-5)
    assert torch.equal(turned(images, 0), images)
    wide = torch.randn(1, 3, 8, 12)
    torch.testing.assert_close(turned(wide, 180), wide.flip(2, 3), rtol=1e-4, atol=1e-5)
    bright = turned(torch.ones(1, 3, 8, 12), 45)
    torch.testing.assert_close(bright, torch.ones(1, 3, 8, 12))  # nothing dark comes in
    spot = torch.zeros(1, 1, 11, 21)
    spot[..., 5, 14] = 1  # four pixels right of the middle
    assert float(turned(spot, 90)[0, 0, 9, 10]) == pytest.approx(1, abs=1e-4)


def test_turned_images_of_which_only_the_tokens_are_at_hand():
    views = Turned(Tokens(TINY, ((0,),), 32, "random"))
    views.turns.fill_(2)
    images = torch.randn(2, 3, 32, 32)
    plain, half = views(images)
    torch.testing.assert_close(plain, views.tokens(images)[0])
    torch.testing.assert_close(half, views.tokens(images.flip(2, 3))[0], rtol=1e-3, atol=1e-3)
    seen = Seen([plain, half], (32, 32))
    assert all(a is b for a, b in zip(views(seen), (plain, half), strict=True))
    assert Tokens(TINY, ((0,),), 32, "random")(Seen([plain], (32, 32)))[0] is plain
