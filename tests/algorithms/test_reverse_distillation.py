import pytest
import torch

from ad_models import Batch, create
from ad_models.errors import ConfigError, InputError


def detector(**more):
    return create("reverse_distillation", backbone="resnet18", weights="random", epochs=1, **more)


@pytest.mark.parametrize(("backbone", "code"), [("resnet18", 512), ("resnet50", 2048)])
def test_student_mirrors_the_teacher(backbone, code):
    model = create("reverse_distillation", backbone=backbone, weights="random").eval()
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        teacher, student = model.compare(images)
        assert model.bottleneck(teacher).shape == (2, code, 3, 2)
    assert [t.shape for t in teacher] == [s.shape for s in student]


def test_the_paper_s_network_has_the_paper_s_size():
    model = create("reverse_distillation", weights="random")
    millions = {n: sum(p.numel() for p in m.parameters()) / 1e6 for n, m in model.named_children()}
    assert millions["teacher"] == pytest.approx(24.9, abs=0.1)  # its batch norms are folded
    assert millions["student"] == pytest.approx(24.9, abs=0.05)
    assert millions["bottleneck"] == pytest.approx(
        67.3 - 8.4, abs=0.05
    )  # its unused layer left out


@pytest.mark.parametrize("loss", ["flattened", "position"])
def test_equal_features_cost_nothing_whatever_their_scale(loss):
    model = detector(loss=loss)
    features = torch.randn(2, 5, 4, 4)
    assert model.loss(features, 3 * features).item() == pytest.approx(0, abs=1e-6)
    assert model.loss(features, -features).item() == pytest.approx(2, abs=1e-6)


def test_losses_against_their_definitions():
    a, b = torch.randn(3, 5, 4, 4), torch.randn(3, 5, 4, 4)
    whole = 1 - torch.stack(
        [x.flatten() @ y.flatten() / (x.norm() * y.norm()) for x, y in zip(a, b, strict=True)]
    )
    assert detector().loss(a, b).item() == pytest.approx(whole.mean().item(), abs=1e-5)
    each = 1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    assert detector(loss="position").loss(a, b).item() == pytest.approx(
        each.mean().item(), abs=1e-5
    )


def test_map_is_zero_where_the_student_agrees_and_at_most_two_a_scale():
    model = detector(sigma=0).eval()
    features = [torch.randn(1, 64, 16, 16), torch.randn(1, 128, 8, 8), torch.randn(1, 256, 4, 4)]
    images = torch.zeros(1, 3, 64, 64)
    model.compare = lambda _: (features, [2 * f for f in features])
    assert model(images).map.abs().max() < 1e-5
    model.compare = lambda _: (features, [-f for f in features])
    assert model(images).map.max() == pytest.approx(6, abs=1e-4)


def test_map_peaks_where_one_position_of_one_scale_disagrees():
    model = detector(sigma=0).eval()
    features = [torch.randn(1, 64, 16, 16), torch.randn(1, 128, 8, 8), torch.randn(1, 256, 4, 4)]
    student = [f.clone() for f in features]
    student[2][0, :, 1, 2] *= -1
    model.compare = lambda _: (features, student)
    at = model(torch.zeros(1, 3, 64, 64)).map.argmax().item()
    assert (at // 64, at % 64) == (21, 42)  # of 4 x 4 positions, corner on corner


def test_the_teacher_never_moves():
    model = detector()
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    model.fit([Batch(torch.randn(4, 3, 64, 64))])
    assert all(torch.equal(before[k], v) for k, v in model.teacher.state_dict().items())


def test_sides_must_be_multiples_of_32():
    with pytest.raises(InputError, match="multiples of 32"):
        detector().fit([Batch(torch.randn(2, 3, 72, 72))])


def test_only_resnets():
    with pytest.raises(ConfigError, match="ResNet"):
        create("reverse_distillation", backbone="vgg16", weights="random")
