import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import nn

from ad_models import Batch, Run, create
from ad_models.algorithms.simplenet import drawn, late, truncated_l1
from ad_models.errors import ConfigError, InputError


def small(**more):
    parameters = {"backbone": "drawnet", "weights": "random", "hidden": 32, "epochs": 1} | more
    return create("simplenet", **parameters)


def test_loss_is_its_definition_of_every_patch():
    normal, spoiled = torch.randn(20), torch.randn(20)
    expected = sum(
        max(0.0, 0.5 - float(n)) + max(0.0, 0.5 + float(s))
        for n, s in zip(normal, spoiled, strict=True)
    )
    assert float(truncated_l1(normal, spoiled, 0.5)) == pytest.approx(expected / 20, rel=1e-5)


def test_what_is_told_apart_by_the_margin_moves_nothing():
    normal, spoiled = torch.tensor([0.6, 3.0]), torch.tensor([-0.6, -9.0])
    normal.requires_grad_(), spoiled.requires_grad_()
    truncated_l1(normal, spoiled, 0.5).backward()
    assert not normal.grad.any() and not spoiled.grad.any()


def test_verdicts_that_cannot_differ_cost_twice_the_margin_at_least():
    same = torch.linspace(-2, 2, 9)
    each = [float(truncated_l1(v[None], v[None], 0.5)) for v in same]
    assert min(each) == pytest.approx(1.0) and float(truncated_l1(same, same, 0.5)) > 1.0


def test_patches_of_a_step_are_drawn_once_each_and_from_all():
    patches = torch.arange(40.0)[:, None]
    seen = [drawn(patches, 7).squeeze(1).tolist() for _ in range(200)]
    assert all(len(set(one)) == 7 for one in seen)
    assert {value for one in seen for value in one} == set(range(40))
    for count in (0, 40, 99):
        assert drawn(patches, count) is patches
    with pytest.raises(ConfigError, match="patches must be at least 1"):
        small(patches=-1)


@pytest.mark.parametrize("patches", [0, 16])
def test_batch_norm_counts_the_patches_of_a_step(patches):
    counts = []
    model = small(patches=patches)
    model.discriminator[1].register_forward_hook(lambda _, rows, __: counts.append(len(rows[0])))
    model.fit([Batch(torch.randn(4, 3, 64, 64))])
    assert counts[0] == 2 * (patches or 4 * 64)  # normal and spoiled


def test_networks_have_the_paper_s_shapes():
    model = create("simplenet", weights="random")
    assert model.adaptor.weight.shape == (1536, 1536)
    first, norm, _, last = model.discriminator
    assert first.weight.shape == (1024, 1536) and norm.num_features == 1024
    assert last.weight.shape == (1, 1024) and last.bias is None


def test_score_is_the_worst_patch_and_maps_are_minus_the_verdicts():
    model = small(sigma=0).fit([Batch(torch.randn(4, 3, 64, 64))])
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        patches, grid = model.embed(images)
        verdicts = torch.stack([model.discriminator(model.adaptor(one)) for one in patches])
    score, maps = model.predict(images)
    torch.testing.assert_close(score, -verdicts.squeeze(2).amin(dim=1))
    assert grid == (8, 8)
    corner = (-verdicts[:, 0, 0], maps[:, 0, 0, 0])  # bilinear: the outermost pixel is its patch's
    torch.testing.assert_close(*corner)


def test_one_step_is_the_paper_s():
    """Two optimisers, each with its own rate; at the first step of Adam every weight with a
    gradient moves by the rate."""
    model = small()
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.fit([Batch(torch.randn(4, 3, 64, 64))])
    for name, rate in (("adaptor.weight", 1e-4), ("discriminator.0.weight", 2e-4)):
        moved = (model.get_parameter(name).detach() - before[name].detach()).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=0.1)
    frozen = [name for name in before if name.startswith("pyramid")]
    assert frozen and all(torch.equal(before[n], model.get_parameter(n)) for n in frozen)


class Watched(Run):
    """Keeps the adaptor's weights as they are after every step."""

    def of(self, model):
        self.seen, self.model = [], model
        return self

    def log(self, **metrics):
        self.seen.append(self.model.adaptor.weight.detach().clone())


@pytest.mark.parametrize(("averaged", "taken"), [(0, 1), (1, 6)])
def test_kept_weights_are_the_mean_of_the_last(averaged, taken):
    model = small(epochs=3, batch=2, averaged=averaged)
    run = Watched().of(model)
    model.fit([Batch(torch.randn(4, 3, 64, 64))], run)
    assert len(run.seen) == 6
    torch.testing.assert_close(model.adaptor.weight, torch.stack(run.seen[-taken:]).mean(0))


def test_an_epoch_of_few_images_has_as_many_steps_as_asked():
    model = small(epochs=2, batch=2, batches=5)
    run = Watched().of(model)
    model.fit([Batch(torch.randn(4, 3, 64, 64))], run)
    assert len(run.seen) == 10


def test_a_tenth_forgets_the_first_steps():
    average = torch.zeros(())
    for before in range(1, 1000):
        average = late(0.1)(average, torch.tensor(float(before)), before)
    assert 850 < float(average) < 950  # the mean age is about a tenth


class Moments(nn.Module):
    """In place of a backbone: mean and square of each colour in cells of 8 x 8 pixels."""

    channels = (6,)

    def forward(self, images):
        return [torch.cat([F.avg_pool2d(x, 8) for x in (images, images.square())], dim=1)]


def test_a_painted_defect_is_found(monkeypatch):
    """The heads alone: an untrained backbone has too little to say about what is unlike."""
    g = torch.Generator().manual_seed(0)
    colour = torch.tensor([0.5, -0.5, 0]).view(1, 3, 1, 1)

    def images(count, defects):
        found = colour + 0.1 * torch.randn(count, 3, 64, 64, generator=g)
        masks = torch.zeros(count, 64, 64, dtype=torch.bool)
        for i in range(defects):
            top, left = torch.randint(0, 40, (2,), generator=g).tolist()
            masks[i, top : top + 24, left : left + 24] = True
            found[i, :, masks[i]] += 0.6 if i % 2 else -0.6  # brighter, or darker
        return found, masks

    monkeypatch.setattr("ad_models.algorithms.simplenet.Pyramid", lambda *_: Moments())
    model = small(epochs=50, hidden=64, noise=0.3, discriminator_lr=1e-3, sigma=2.0)
    model.fit([Batch(images(24, 0)[0])])
    queries, masks = images(20, 10)
    score, maps = model.predict(queries)
    assert roc_auc_score(masks.flatten(1).any(1), score) > 0.95
    assert roc_auc_score(masks.flatten(), maps.flatten()) > 0.9


def test_no_image():
    with pytest.raises(InputError, match="no normal image"):
        small().fit([])


@pytest.mark.parametrize(
    "wrong",
    [
        {"neighbourhood": 2},
        {"noise": 0},
        {"margin": -1},
        {"batch": 0},
        {"epochs": 0},
        {"averaged": 1.5},
        {"batches": -1},
    ],
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        small(**wrong)
