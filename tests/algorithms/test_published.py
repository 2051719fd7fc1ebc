"""What was published of the algorithms on a ViT, where weights of DINOv2 are found."""

from pathlib import Path

import pytest
import torch

from ad_models import Batch, create
from ad_models.weight_files import file_in, file_names
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.metrics.image import image_metrics
from tasks.spec.schema import Image

DINO = "vit_small_patch14_dinov2.lvd142m"


@pytest.fixture
def weights(real_weights) -> str:
    found = file_in(real_weights, file_names(DINO))
    if found is None:
        pytest.skip(f"no {DINO}.safetensors or {file_names(DINO)[-1]}.pth in {real_weights}")
    return str(found)


def read(folder: Path, size: int) -> torch.Tensor:
    preprocess = Preprocess(Image(size=size))
    images = [preprocess(read_image(path)) for path in sorted(folder.iterdir())]
    return torch.stack([torch.from_numpy(image) for image in images])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [
        # AnomalyDINO with 4 images of bottle: above .99; the mean of MVTec AD is .977
        ("anomalydino", {"size": 448}),
        # published for a larger backbone: here only that it is far from chance
        ("subspacead", {"backbone": DINO, "blocks": (4, 5, 6, 7), "size": 448, "turns": 8}),
    ],
)
def test_four_bottles_suffice(name, more, weights, datasets):
    folder = datasets / "mvtec_ad_512" / "bottle"
    detector = create(name, weights=weights, **more)
    detector.fit([Batch(read(folder / "train" / "good", 448)[:4])])
    scores, labels = [], []
    for kind in sorted((folder / "test").iterdir()):
        found = detector.predict(read(kind, 448)).score.tolist()
        scores += found
        labels += [kind.name != "good"] * len(found)
    auroc = image_metrics(scores, labels)["image_auroc"]
    assert auroc >= (0.99 if name == "anomalydino" else 0.95)
