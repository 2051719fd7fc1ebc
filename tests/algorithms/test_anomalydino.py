import onnx
import pytest
import torch

from ad_models import Batch, Run, create
from ad_models.algorithms import anomalydino
from ad_models.errors import ConfigError, InputError
from ad_models.maps import highest
from ad_models.seen import Seen

TINY = {"backbone": "test_vit", "block": 0, "weights": "random", "size": 64, "sigma": 0}


def detector_of(**more):
    return create("anomalydino", **(TINY | more))


def textured(count, side=64):
    """Images (count, 3, side, side) of one pattern, with a little noise."""
    pattern = torch.randn(1, 3, side, side)
    return pattern + 0.5 * torch.randn(count, 3, side, side)


def seen(*tokens):
    """An image that is one row of these tokens, a pixel each."""
    return Seen([torch.tensor(tokens).T[None, :, None].float()], (1, len(tokens)))


def test_the_score_is_the_mean_of_the_highest_share():
    values = torch.arange(1024.0).flip(0)[None]
    assert highest(values, 0.01).tolist() == [1018.5]
    assert highest(values[:, :99], 0.01).tolist() == [1023.0]  # a share of none: the highest
    assert highest(values[:, :784], 0.01).tolist() == [1020.0]  # 7 of 784


def test_distances_are_those_of_directions():
    detector = detector_of(size=(16, 48))
    detector.fit([Batch(seen((1, 0), (0, 1), (0, 5)))])
    found = detector.predict(seen((3, 0), (1, 1), (-1, 0)))
    expected = torch.tensor([0, 1 - 0.5**0.5, 1])
    torch.testing.assert_close(found.map.flatten(), expected, rtol=0, atol=1e-6)
    assert found.score.tolist() == pytest.approx([1])
    longer = detector.predict(seen((21, 0), (7, 7), (-7, 0)))
    torch.testing.assert_close(longer.map, found.map)


@pytest.mark.parametrize("turns", [1, 4])
def test_an_image_that_is_known_is_no_distance_away(turns):
    images = textured(3)
    detector = detector_of(turns=turns).fit([Batch(images)])
    assert len(detector.bank) == turns * 3 * 16
    assert detector.predict(images).map.abs().max() < 1e-6
    others = detector_of(turns=turns).fit([Batch(images[[2, 0, 1]])])
    strange = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(detector.predict(strange), others.predict(strange))
    quarter = images.rot90(1, (2, 3))
    assert (detector.predict(quarter).score.max() < 1e-5) == (turns == 4)


def test_few_images_are_turned_and_many_are_not():
    detector = detector_of(turned_below=5)
    for images, turns in ((1, 8), (4, 8), (5, 1)):
        detector.announce(images)
        assert int(detector.turned.turns) == turns


def test_a_bank_that_is_full_covers_all_tokens():
    images = textured(4)
    detector = detector_of(turns=2, bank_size=40).fit([Batch(images)])
    tokens = detector.embed(images).flatten(0, 1)
    assert len(tokens) == 128 and len(detector.bank) == 40
    within = torch.cdist(tokens, detector.bank).min(1).values.max()
    torch.testing.assert_close(within, detector.radius, rtol=1e-3, atol=1e-4)
    assert detector.record["tokens"] == 128 and detector.record["bank"] == 40


def left_out(detector, images, groups):
    """Predictions by the detector for each group."""
    return list(detector.left_out([Batch(images[group]) for group in groups], groups, Run()))


def test_an_image_leaves_with_its_turned_copies():
    images, groups = textured(7), [[4], [0, 2], [6, 1], [5, 3]]
    detector = detector_of(turns=4).fit([Batch(images)])
    for group, found in zip(groups, left_out(detector, images, groups), strict=True):
        others = [number for number in range(7) if number not in group]
        again = detector_of(turns=4).fit([Batch(images[others])])
        torch.testing.assert_close(found, again.predict(images[group]), rtol=1e-4, atol=1e-5)


def test_a_coreset_leaves_images_out_without_a_bias():
    images, groups = textured(16), [[number] for number in range(16)]
    detector = detector_of(turns=2, bank_size=120).fit([Batch(images)])
    found = torch.cat([one.score for one in left_out(detector, images, groups)])
    expected = []
    for group in groups:
        others = [number for number in range(16) if number not in group]
        again = detector_of(turns=2, bank_size=120).fit([Batch(images[others])])
        expected.append(again.predict(images[group]).score)
    assert abs(float((found / torch.cat(expected)).mean()) - 1) < 0.03
    assert found.mean() > 1.05 * detector.predict(images).score.mean()


def test_the_background_counts_as_normal(monkeypatch):
    images = textured(3)
    left = torch.zeros(4, 4)
    left[:, :2] = 1
    monkeypatch.setattr(anomalydino, "foreground", lambda maps: left.expand(len(maps), 4, 4))
    detector = detector_of(turns=1, masked=True).fit([Batch(images)])
    whole = detector_of(turns=1).fit([Batch(images)])
    assert torch.equal(detector.bank, whole.bank)  # of references nothing is masked
    strange = torch.randn(2, 3, 64, 64)
    found, expected = detector.predict(strange).map, whole.predict(strange).map
    assert found[..., 48:].abs().max() == 0 and (expected[..., 48:] > 0).all()
    torch.testing.assert_close(found[..., :24], expected[..., :24])
    for one in left_out(detector, images, [[0], [1, 2]]):
        assert one.map[..., 48:].abs().max() == 0 < one.map.max()


@pytest.mark.parametrize("size", [20, 1000])
def test_after_an_update_images_cannot_be_left_out(size):
    detector = detector_of(turns=1, bank_size=size).fit([Batch(textured(2))])
    detector.update([Batch(3 * textured(2))])
    assert detector.left_out([], [], Run()) is None


def test_an_update_adds_what_is_not_known():
    images, others = textured(3), torch.randn(2, 3, 64, 64)
    detector = detector_of(turns=2).fit([Batch(images)])
    bank = detector.bank.clone()
    detector.update([Batch(images[:2]), Batch(images[2:])])
    assert torch.equal(detector.bank, bank)
    detector.update([Batch(others)])
    assert len(detector.bank) == len(bank) + 2 * 2 * 16
    assert detector.predict(others).score.max() < 1e-6


def test_an_update_keeps_to_the_size_and_covers_both():
    images, others = textured(3), torch.randn(3, 3, 64, 64)
    detector = detector_of(turns=1, bank_size=30).fit([Batch(images)])
    before = detector.predict(others).score
    detector.update([Batch(others)])
    assert len(detector.bank) == 30
    assert detector.predict(others).score.max() < before.min()
    tokens = detector.embed(torch.cat([images, others])).flatten(0, 1)
    assert torch.cdist(tokens, detector.bank).min(1).values.max() <= detector.radius * 1.0001


def test_the_fit_says_how_images_are_seen():
    said = []
    detector = detector_of(size=100).fit([Batch(textured(1))], Run(say=said.append))
    assert said[0].startswith("the ViT sees 96 x 96 pixels of each image: 6 x 6 tokens, about ")
    assert detector.record["seen_height"] == detector.record["seen_width"] == 96
    with pytest.raises(InputError, match="at least 1"):
        detector_of().fit([])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"turns": 0}, "turns"), ({"bank_size": 0}, "bank_size"), ({"top": 2}, "top")],
)
def test_out_of_range(wrong, named):
    with pytest.raises(ConfigError, match=named):
        detector_of(**wrong)


def resized(path):
    """How each Resize node of a graph interpolates."""
    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "Resize"]
    return [a.s for node in nodes for a in node.attribute if a.name == "mode"]


def test_no_graph_resamples_the_position_embedding(tmp_path):
    """OpenVINO computes a cubic one wrongly, without a word."""
    detector = detector_of(masked=True).fit([Batch(textured(2, 60))])
    detector.export(tmp_path / "model.onnx", (60, 60))
    # the image to what the ViT sees, and the map
    assert resized(tmp_path / "model.onnx") == [b"linear", b"linear"]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
def test_a_whole_backbone_gives_the_same_in_onnx(tmp_path, backbone):
    import onnxruntime

    parameters = {"backbone": backbone, "block": -1, "size": 112, "turns": 1}
    detector = detector_of(**parameters).fit([Batch(textured(2, 112))])
    detector.export(tmp_path / "model.onnx", (112, 112))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = torch.randn(3, 3, 112, 112)
    found = [torch.from_numpy(one) for one in session.run(None, {"images": images.numpy()})]
    torch.testing.assert_close(found, list(detector.predict(images)), rtol=1e-3, atol=1e-5)
    assert resized(tmp_path / "model.onnx") == [b"linear"]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
def test_openvino_gives_the_same(tmp_path, backbone):
    openvino = pytest.importorskip("openvino", reason="install openvino to try it")
    parameters = {"backbone": backbone, "block": -1, "size": 112, "turns": 1}
    detector = detector_of(**parameters).fit([Batch(textured(2, 112))])
    detector.export(tmp_path / "model.onnx", (112, 112))
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(tmp_path / "model.onnx", "CPU", exact)
    images = torch.randn(3, 3, 112, 112)
    found = [torch.from_numpy(one) for one in model({"images": images.numpy()}).values()]
    torch.testing.assert_close(found, list(detector.predict(images)), rtol=1e-3, atol=1e-4)
