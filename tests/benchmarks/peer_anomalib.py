"""anomalib's side of bench_peer.py: for a Python that has anomalib and nothing of this package.

Each line that comes in is a command, answered by a line of JSON. `job FOLDER` takes up a job:
job.json, train.npy and test.npy (N, 3, side, side), and order.npy (steps, batch), which images each
step of a training sees. Then `fit` is answered by its CPU seconds, `image N torch` or `image N
onnx` by the CPU milliseconds of a prediction (null where that cannot be), `score` after it has
written scores.npy and, where there are maps, maps.npy.
"""

import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LAYERS = ["layer1", "layer2", "layer3"]
BATCH = 8  # of images without training


def with_weights(extractor: nn.Module, job: dict[str, Any]) -> None:
    """Give a backbone of timm the weights of torchvision's network of that name."""
    state = torch.load(job["weights"], map_location="cpu", weights_only=True)
    lacking = extractor.load_state_dict(state, strict=False).missing_keys
    if lacking := [name for name in lacking if not name.endswith("num_batches_tracked")]:
        raise SystemExit(f"{job['weights']} lacks {lacking[:3]} of anomalib's backbone")


def parts(images: np.ndarray) -> Iterator[Tensor]:
    for at in range(0, len(images), BATCH):
        yield torch.from_numpy(np.array(images[at : at + BATCH]))


def steps(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> Iterator[Tensor]:
    for chosen in order:
        yield torch.from_numpy(images[chosen])


def padim(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> nn.Module:
    from anomalib.models.image.padim.torch_model import PadimModel

    kept = torch.tensor(job["kept"])
    model = PadimModel("resnet18", LAYERS, pre_trained=False, n_features=len(kept))
    with_weights(model.feature_extractor.feature_extractor, job)
    model.idx = kept
    model.train()
    model.feature_extractor.eval()
    for part in parts(images):
        model(part)
    model.fit()
    return model


def patchcore(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> nn.Module:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(LAYERS[1:], "resnet18", pre_trained=False)
    with_weights(model.feature_extractor.feature_extractor, job)
    model.train()
    model.feature_extractor.eval()
    for part in parts(images):
        model(part)
    model.subsample_embedding(job["parameters"]["ratio"])
    return model


def fastflow(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> nn.Module:
    from anomalib.models.image.fastflow.loss import FastflowLoss
    from anomalib.models.image.fastflow.torch_model import FastflowModel

    side = (job["side"], job["side"])
    model = FastflowModel(side, "resnet18", pre_trained=False, conv3x3_only=True)
    with_weights(model.feature_extractor, job)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.001, weight_decay=1e-5)
    return trained(model, FastflowLoss(), optimiser, steps(job, images, order))


def reverse_distillation(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> nn.Module:
    from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
    from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
    from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel

    side, mode = (job["side"], job["side"]), AnomalyMapGenerationMode.ADD
    model = ReverseDistillationModel("resnet18", side, LAYERS, mode, pre_trained=False)
    with_weights(model.encoder.feature_extractor, job)
    learning = [*model.decoder.parameters(), *model.bottleneck.parameters()]
    optimiser = torch.optim.Adam(learning, lr=0.005, betas=(0.5, 0.99))
    return trained(model, ReverseDistillationLoss(), optimiser, steps(job, images, order))


def trained(
    model: nn.Module,
    loss: Callable[..., Tensor],
    optimiser: torch.optim.Optimizer,
    batches: Iterator[Tensor],
) -> nn.Module:
    model.train()
    for images in batches:
        cost = loss(*model(images))
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
    return model


def ganomaly(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> nn.Module:
    from anomalib.models.image.ganomaly.loss import DiscriminatorLoss, GeneratorLoss
    from anomalib.models.image.ganomaly.torch_model import GanomalyModel

    given = job["parameters"]
    side = (job["side"], job["side"])
    model = GanomalyModel(side, 3, given["base"], given["code"])
    generator_loss, discriminator_loss = GeneratorLoss(), DiscriminatorLoss()
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    judging = torch.optim.Adam(model.discriminator.parameters(), **adam)
    generating = torch.optim.Adam(model.generator.parameters(), **adam)
    model.train()
    for batch in steps(job, images, order):
        real, drawn, code, again = model(batch)
        judged_real, _ = model.discriminator(real)
        judged_drawn, _ = model.discriminator(drawn)
        cost = generator_loss(code, again, real, drawn, judged_real, judged_drawn)
        generating.zero_grad()
        cost.backward(retain_graph=True)
        generating.step()
        judged_drawn, _ = model.discriminator(drawn.detach())
        cost = discriminator_loss(judged_real, judged_drawn)
        judging.zero_grad()
        cost.backward()
        judging.step()
    return model


class FromNormalised(nn.Module):
    """A network that wants images in [0, 1], for images normalised by ImageNet's mean."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def pixels(self, images: Tensor) -> Tensor:
        return images * self.deviation + self.mean

    def forward(self, images: Tensor) -> Any:
        return self.model(self.pixels(images))


def efficientad(job: dict[str, Any], images: np.ndarray, order: np.ndarray) -> nn.Module:
    from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel
    from safetensors.torch import load_file

    model = EfficientAdModel()
    whole = FromNormalised(model)
    with torch.no_grad():
        state = load_file(job["teacher"])
        for ours, theirs in zip(sorted(state), sorted(model.teacher.state_dict()), strict=True):
            model.teacher.state_dict()[theirs].copy_(state[ours])
        seen = [model.teacher(whole.pixels(part)) for part in parts(images[order.ravel()])]
        model.mean_std["mean"].data = torch.cat(seen).mean((0, 2, 3), keepdim=True)
        model.mean_std["std"].data = torch.cat(seen).std((0, 2, 3), keepdim=True)
    textures = whole.pixels(torch.from_numpy(np.load(job["textures"])))
    learning = [*model.student.parameters(), *model.ae.parameters()]
    optimiser = torch.optim.Adam(learning, lr=1e-4, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, max(1, int(0.95 * order.size)))
    model.train()
    model.teacher.eval()
    for number, chosen in enumerate(order.ravel()):  # one image a step
        image = whole.pixels(torch.from_numpy(images[[chosen]]))
        cost = torch.stack(model(image, textures[[number % len(textures)]])).sum()
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        found = [model.get_maps(whole.pixels(part), normalize=False) for part in parts(images)]
    for name, maps in zip(("st", "ae"), zip(*found, strict=True), strict=True):
        for end, share in (("a", 0.9), ("b", 0.995)):
            bound = np.quantile(torch.cat(maps).numpy(), share)
            model.quantiles[f"q{end}_{name}"].data = torch.tensor(bound).float()
    return whole


FITS = {
    "efficientad": efficientad,
    "padim": padim,
    "patchcore": patchcore,
    "fastflow": fastflow,
    "reverse_distillation": reverse_distillation,
    "ganomaly": ganomaly,
}


class Peer:
    """The model of the job at hand."""

    def __init__(self) -> None:
        self.session: Any = None

    def job(self, folder: str) -> bool:
        self.folder = Path(folder)
        self.given: dict[str, Any] = json.loads((self.folder / "job.json").read_text())
        torch.set_num_threads(self.given["threads"])
        self.train = np.load(self.folder / "train.npy")
        self.test = np.load(self.folder / "test.npy", mmap_mode="r")
        self.order = np.load(self.folder / "order.npy")
        few = self.train[: self.given["few"]]  # imports, and what is done once in a process
        self.model = self.learn(few, self.order[:1] % len(few))
        return True

    def learn(self, images: np.ndarray, order: np.ndarray) -> nn.Module:
        torch.manual_seed(self.given["seed"])
        return FITS[self.given["algorithm"]](self.given, images, order).eval()

    def fit(self) -> float:
        started = time.process_time()
        self.model = self.learn(self.train, self.order)
        self.session = None
        return time.process_time() - started

    @torch.inference_mode()
    def image(self, number: str, runtime: str) -> float | None:
        image = torch.from_numpy(np.array(self.test[int(number)])[None])
        if runtime == "onnx" and not (importlib.util.find_spec("onnx") and self.exported()):
            return None
        started = time.process_time()
        if runtime == "onnx":
            self.session.run(None, {"input": image.numpy()})
        else:
            self.model(image)
        return 1000 * (time.process_time() - started)

    def exported(self) -> bool:
        """By torch's tracing exporter, as anomalib does it."""
        if self.session is None:
            import onnxruntime

            path, images = self.folder / "peer.onnx", torch.from_numpy(np.array(self.test[:1]))
            torch.onnx.export(self.model, (images,), str(path), input_names=["input"], dynamo=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.given["threads"]
            self.session = onnxruntime.InferenceSession(path, options)
        return True

    @torch.inference_mode()
    def score(self) -> bool:
        found = [self.model(part) for part in parts(self.test)]
        np.save(self.folder / "scores.npy", torch.cat([one.pred_score.flatten() for one in found]))
        if found[0].anomaly_map is not None:
            maps = torch.cat([one.anomaly_map.flatten(1) for one in found])
            np.save(self.folder / "maps.npy", maps.unflatten(1, self.test.shape[-2:]))
        return True


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # anomalib prints
    warnings.simplefilter("ignore")
    peer = Peer()
    for line in sys.stdin:
        command, *given = line.split()
        print(json.dumps(getattr(peer, command)(*given)), file=answers, flush=True)


if __name__ == "__main__":
    main()
