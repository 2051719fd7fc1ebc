"""A reconstruction is in the colours of its image: what the map shows is their difference."""

import pytest
import torch

from ad_models import create
from ad_models.pixels import normalised, unit
from tests.algorithms.strokes import discs

SMALL = {
    "anogan": {"size": 64, "base": 4, "code": 4, "steps": 2},
    "autoencoder": {"side": 64, "code": 8, "width": 8, "loss": "l2"},
    "cyclegan": {"size": 64, "base": 4, "blocks": 1},
    "denoising_autoencoder": {"widths": (4, 8)},
    "f_anogan": {"size": 64, "base": 4, "code": 4},
    "ganomaly": {"size": 64, "base": 4, "code": 4},
    "vae": {"side": 64, "code": 8, "width": 8},
}
SQUARED = {"autoencoder", "vae"}
SIGNED = {"anogan", "cyclegan", "f_anogan", "ganomaly"}  # networks of -1..1: twice the difference


def untrained(name: str, **more):
    detector = create(name, **SMALL[name] | more)
    detector.fitted.fill_(True)
    return detector


@pytest.mark.parametrize("name", SMALL)
def test_the_map_is_what_differs_from_the_reconstruction(name):
    detector, images = untrained(name, sigma=0.0), discs(2, 0)
    made = detector.reconstruction(images)
    each = (unit(images) - unit(made)).abs() * (2 if name in SIGNED else 1)
    expected = (each.square() if name in SQUARED else each).mean(dim=1, keepdim=True)
    torch.testing.assert_close(detector.predict(images).map, expected, atol=1e-4, rtol=1e-3)


def test_patches_are_put_together():
    detector, images = untrained("autoencoder", stride=16), discs(2, 0, 96)
    detector.net = torch.nn.Identity()
    torch.testing.assert_close(detector.reconstruction(images), images, atol=1e-5, rtol=1e-5)


def test_pixels_that_no_cell_hides_are_not_painted():
    detector = create("riad", widths=(4, 8), cells=(4, 8))
    detector.kept = torch.full((2, 64, 64), 9, dtype=torch.uint8)  # a set that is never asked for
    detector.fitted.fill_(True)
    made = detector.reconstruction(discs(2, 0))
    torch.testing.assert_close(made, normalised(torch.zeros(2, 3, 64, 64)))
