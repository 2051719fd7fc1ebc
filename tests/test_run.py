"""A fit that was stopped and resumed ends bit for bit where an unbroken one does."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from ad_models import Batch, Run
from ad_models.base import Detector, Prediction
from ad_models.errors import (
    Cancelled,
    CheckpointError,
    InputError,
    NotFittedError,
    UpdateError,
)


@dataclass(frozen=True)
class ToyConfig:
    lr: float = 1e-3
    epochs: int = 6
    seed: int = 0


class ToyGan(Detector):
    """Two networks, two optimisers, two stages: the shape of f-AnoGAN."""

    Config = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.generator = nn.Conv2d(3, 3, 3, padding=1)
        self.critic = nn.Conv2d(3, 1, 3, padding=1)
        self.encoder = nn.Conv2d(3, 3, 1)

    def learn(self, loader, run):
        generator = torch.optim.Adam(self.generator.parameters(), self.config.lr)
        critic = torch.optim.Adam(self.critic.parameters(), self.config.lr)
        for _ in run.epochs(self.config.epochs, self, generator, critic, stage="gan"):
            for batch in run.steps(loader):
                fake = self.generator(torch.randn_like(batch.image))
                step(critic, self.critic(fake.detach()).mean() - self.critic(batch.image).mean())
                step(generator, -self.critic(fake).mean())
        encoder = torch.optim.Adam(self.encoder.parameters(), self.config.lr)
        for _ in run.epochs(2, self, encoder, stage="encoder"):
            for batch in run.steps(loader):
                step(encoder, self.healed(batch.image).square().mean())

    def healed(self, images):
        return self.generator(self.encoder(images)) - images

    def forward(self, images):
        maps = self.healed(images).square().mean(1, keepdim=True)
        return Prediction(maps.amax((1, 2, 3)), maps)


def step(optimiser, loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


class Shuffled:
    """Three batches in a new order each time, from torch's generator."""

    def __init__(self):
        self.images = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return 3

    def __iter__(self):
        for part in self.images[torch.randperm(12)].chunk(3):
            yield Batch(part)


def fresh() -> ToyGan:
    torch.manual_seed(0)
    return ToyGan(ToyConfig())


@pytest.mark.parametrize("stop_after", [1, 7, 14, 18, 19, 22])
def test_resume_is_exact(tmp_path, stop_after):
    whole = fresh().fit(Shuffled())
    seen = []
    run = Run(
        checkpoint=tmp_path / "fit.ckpt",
        report=seen.append,
        should_stop=lambda: len(seen) >= stop_after,
        report_every=0,
        save_every=0,
    )
    with pytest.raises(Cancelled):
        fresh().fit(Shuffled(), run)
    resumed = fresh().fit(Shuffled(), Run(checkpoint=tmp_path / "fit.ckpt"))
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_finished_stage_is_not_run_again(tmp_path):
    fresh().fit(Shuffled(), Run(checkpoint=tmp_path / "fit.ckpt"))
    seen = []
    run = Run(checkpoint=tmp_path / "fit.ckpt", report=seen.append, report_every=0)
    fresh().fit(Shuffled(), run)
    assert not seen


@pytest.mark.parametrize("stop_after", [7, 19])
def test_steps_are_counted_through_a_stop(tmp_path, stop_after):
    """Six epochs of three batches, in which two optimisers take turns, then two epochs of one."""
    seen = []
    file = tmp_path / "fit.ckpt"
    run = Run(checkpoint=file, report=seen.append, report_every=0, save_every=0)
    run.should_stop = lambda: len(seen) >= stop_after
    with pytest.raises(Cancelled):
        fresh().fit(Shuffled(), run)
    again = Run(checkpoint=file)
    fresh().fit(Shuffled(), again)
    assert again.trained() == {"gan": 6 * 3, "encoder": 2 * 3}


def test_what_has_no_optimiser_has_no_steps():
    run = Run()
    for _ in run.epochs(3, stage="range"):
        pass
    assert run.trained() == {}


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    fresh().fit(Shuffled(), Run(checkpoint=tmp_path / "fit.ckpt", identity="one"))
    with pytest.raises(CheckpointError, match="delete it"):
        fresh().fit(Shuffled(), Run(checkpoint=tmp_path / "fit.ckpt", identity="other"))


class ToyFewShot(Detector):
    """Calibrates on a few images of the target: the shape of RegAD."""

    Config = ToyConfig
    needs_normals = True

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("mean", torch.empty(0))

    def learn(self, loader, run):
        pass

    def calibrate(self, normals, run):
        self.mean = torch.cat([batch.image for batch in run.steps(normals)]).mean(0)

    def forward(self, images):
        maps = (images - self.mean).norm(dim=1, keepdim=True)
        return Prediction(maps.amax((1, 2, 3)), maps)


def test_few_shot_asks_for_normals_and_calibrates_again():
    detector = ToyFewShot(ToyConfig())
    with pytest.raises(InputError, match="normals"):
        detector.fit([])
    images = torch.zeros(1, 3, 8, 8)
    detector.fit([], normals=[Batch(torch.zeros(2, 3, 8, 8))])
    assert detector.predict(images).score.item() == 0
    detector.calibrate([Batch(torch.ones(2, 3, 8, 8))], Run())
    assert detector.predict(images).score.item() == pytest.approx(3**0.5)


def test_an_algorithm_without_update_says_what_to_do():
    detector = fresh()
    with pytest.raises(NotFittedError, match="call fit"):
        detector.update(Shuffled())
    with pytest.raises(UpdateError, match="fit it again"):
        detector.fit(Shuffled()).update(Shuffled())


def test_large_images_are_predicted_one_at_a_time(monkeypatch):
    detector = fresh().fit(Shuffled())
    images = torch.randn(5, 3, 8, 8)
    whole = detector.predict(images)
    seen = []
    healed = detector.healed
    monkeypatch.setattr(detector, "healed", lambda x: (seen.append(len(x)), healed(x))[1])
    monkeypatch.setattr("ad_models.base.PIXELS", 2 * 8 * 8)
    parts = detector.predict(images)
    assert seen == [2, 2, 1]
    torch.testing.assert_close(whole.map, parts.map)


def test_networks_train_in_another_precision_and_answer_in_float32():
    net = nn.Conv2d(3, 4, 3)
    seen = []

    def network(x):
        seen.append(net(x))
        return [seen[-1], (seen[-1].mean(),)]

    images = torch.randn(2, 3, 8, 8)
    exact, _ = Run().mixed(network, images)
    assert exact is seen[0]
    maps, (mean,) = Run(precision=torch.bfloat16).mixed(network, images)
    assert seen[1].dtype == torch.bfloat16 and maps.dtype == mean.dtype == torch.float32
    torch.testing.assert_close(maps, exact, rtol=0.05, atol=0.05)
    maps.sum().backward()
    assert net.weight.grad.dtype == torch.float32
