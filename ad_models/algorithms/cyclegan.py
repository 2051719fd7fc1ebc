"""CycleGAN as a repair network: it turns defective images into normal ones, and the change shows
the defect.

Zhu et al., ICCV 2017, https://arxiv.org/abs/1703.10593

Idea (section 3): two generators translate between two unpaired sets of images, each against a
discriminator of the other set. A translation there and back must give the original image. Here one
set holds normal images, and the other the same images with synthetic defects. The generator to
normal images removes a defect and, because of the identity loss, does not change a good image. Its
changes are the anomaly map.

Differs from the paper: the paper translates styles; the use for inspection is ours, and so are the
second set (`ad_models.synthetic`), the map, its blur and its maximum as the score. A step takes the
batch of the loader: with `preset: paper` one image, as there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.dcgan import initialise
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.maps import finish
from ad_models.pixels import normalised, signed, unsigned
from ad_models.run import Run
from ad_models.synthetic import Textures, altered, spoil


@dataclass(frozen=True)
class CycleganConfig:
    size: int = 256  # pixels, side of what the networks see; section 4
    base: int = 64  # channels of the first layer; appendix 7.2
    blocks: int = 9  # residual blocks, 6 for 128 pixels; section 4
    epochs: int = 100  # at full learning rate; section 4
    decay_epochs: int = 100  # more, down to zero; section 4
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 2e-4  # of both Adams; section 4
    cycle: float = 10.0  # lambda; section 4
    identity: float = 0.5  # times lambda; section 5.2
    pool: int = 50  # past drawings a discriminator may see again; section 4
    textures: str | None = None  # folder of images for defects; None: procedural
    sigma: float = 4.0  # blur of the map, pixels; ours
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if self.size < 32 or self.size % 4:
            raise ConfigError(f"size must be a multiple of 4 and at least 32, got {self.size}")
        for name in ("base", "blocks", "epochs", "pool"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3) for _ in range(2))
        norms = [nn.InstanceNorm2d(channels) for _ in range(2)]
        start = [nn.ReflectionPad2d(1), first, norms[0], nn.ReLU()]
        self.body = nn.Sequential(*start, nn.ReflectionPad2d(1), second, norms[1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def generator(base: int, blocks: int) -> nn.Sequential:
    """c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-3; appendix 7.2."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, base, 7)]
    layers += [nn.InstanceNorm2d(base), nn.ReLU()]
    for channels in (base, 2 * base):
        layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1)]
        layers += [nn.InstanceNorm2d(2 * channels), nn.ReLU()]
    layers += [Residual(4 * base) for _ in range(blocks)]
    for channels in (4 * base, 2 * base):
        layers += [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1)]
        layers += [nn.InstanceNorm2d(channels // 2), nn.ReLU()]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(base, 3, 7), nn.Tanh()]
    return nn.Sequential(*layers)


def discriminator(base: int) -> nn.Sequential:
    """C64-C128-C256-C512 and an output for every patch of 70 pixels; appendix 7.2."""
    layers: list[nn.Module] = [nn.Conv2d(3, base, 4, 2, 1), nn.LeakyReLU(0.2)]
    for channels, stride in ((base, 2), (2 * base, 2), (4 * base, 1)):
        layers += [nn.Conv2d(channels, 2 * channels, 4, stride, 1)]
        layers += [nn.InstanceNorm2d(2 * channels), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * base, 1, 4, 1, 1))


class Pool(nn.Module):
    """A buffer of earlier drawings: when full, half of the requested images come from it (section
    4)."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.images: Tensor
        self.filled: Tensor
        self.register_buffer("images", torch.zeros(count, 3, size, size))
        self.register_buffer("filled", torch.tensor(0))

    def forward(self, drawn: Tensor) -> Tensor:
        out = drawn.clone()
        for i in range(len(drawn)):
            if self.filled < len(self.images):
                self.images[int(self.filled)] = drawn[i]
                self.filled += 1
            elif torch.rand(()) < 0.5:
                place = int(torch.randint(len(self.images), ()))
                out[i], self.images[place] = self.images[place].clone(), drawn[i]
        return out


def verdict(net: nn.Module, images: Tensor, real: bool) -> Tensor:
    """Least squares in place of a cross entropy; section 4."""
    return (net(images) - float(real)).square().mean()


class Cyclegan(Detector):
    Config = CycleganConfig

    def __init__(self, config: CycleganConfig) -> None:
        super().__init__(config)
        self.heal = generator(config.base, config.blocks)
        self.spoil = generator(config.base, config.blocks)
        self.heal.apply(initialise)
        self.spoil.apply(initialise)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        config, textures = self.config, Textures(self.config.textures)
        judges = nn.ModuleDict({k: discriminator(config.base) for k in ("normal", "spoiled")})
        pools = nn.ModuleDict({k: Pool(config.pool, config.size) for k in judges})
        judges.apply(initialise).to(run.device)
        pools.to(run.device)
        generators = nn.ModuleList([self.heal, self.spoil])
        drawing, judging = (
            torch.optim.Adam(net.parameters(), config.lr, (0.5, 0.999))
            for net in (generators, judges)
        )
        changing = (generators, judges, pools, drawing, judging)
        for done in run.epochs(config.epochs + config.decay_epochs, *changing):
            for group in (*drawing.param_groups, *judging.param_groups):
                group["lr"] = self.rate(done)
            for batch in run.steps(epoch(loader, config.batches)):
                normal, spoiled = self.pair(batch.image, textures)
                healed, painted = self.heal(spoiled), self.spoil(normal)
                loss = self.generator_loss(judges, normal, spoiled, healed, painted)
                drawing.zero_grad()
                loss.backward()
                drawing.step()

                judged = self.judge_loss(judges["normal"], pools["normal"], normal, healed)
                judged = judged + self.judge_loss(
                    judges["spoiled"], pools["spoiled"], spoiled, painted
                )
                judging.zero_grad()
                judged.backward()
                judging.step()
                run.log(generator=loss, discriminator=judged)

    def rate(self, done: int) -> float:
        """Learning rate after some epochs: constant, then linear to zero; section 4."""
        after = max(0, done + 1 - self.config.epochs)
        return self.config.lr * (1 - after / (self.config.decay_epochs + 1))

    def pair(self, images: Tensor, textures: Textures) -> tuple[Tensor, Tensor]:
        """Normal images, and others of the batch with defects: -1..1 (B, 3, size, size)."""
        colours = (signed(images, self.config.size) + 1) / 2
        others = normalised(colours[torch.randperm(len(images)).to(images.device)])
        sources = altered(textures(len(images), others.shape[-2:], images.device))
        spoiled, _ = spoil(others, sources)
        return 2 * colours - 1, signed(spoiled, self.config.size).clamp(-1, 1)

    def generator_loss(
        self,
        judges: nn.ModuleDict,
        normal: Tensor,
        spoiled: Tensor,
        healed: Tensor,
        painted: Tensor,
    ) -> Tensor:
        fooled = verdict(judges["normal"], healed, True) + verdict(judges["spoiled"], painted, True)
        cycle = F.l1_loss(self.heal(painted), normal) + F.l1_loss(self.spoil(healed), spoiled)
        same = F.l1_loss(self.heal(normal), normal) + F.l1_loss(self.spoil(spoiled), spoiled)
        weight = self.config.cycle
        return fooled + weight * cycle + weight * self.config.identity * same  # equation 3

    def judge_loss(self, judge: nn.Module, pool: nn.Module, real: Tensor, drawn: Tensor) -> Tensor:
        """Half the loss: the discriminator learns at half the generators' pace; section 4."""
        return (verdict(judge, real, True) + verdict(judge, pool(drawn.detach()), False)) / 2

    def reconstruct(self, images: Tensor) -> Tensor:
        return unsigned(self.heal(signed(images, self.config.size)), images.shape[-2:])

    def forward(self, images: Tensor) -> Prediction:
        seen = signed(images, self.config.size)
        changed = (seen - self.heal(seen)).abs().mean(1, keepdim=True)
        maps = finish(changed, images.shape[-2:], self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)
