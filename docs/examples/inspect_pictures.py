"""Inspect pictures with the inspect.onnx of a release: numpy, onnxruntime and Pillow, no more.

python inspect_pictures.py inspect.onnx PICTURE... [--threshold X]

Prints for each picture its decision, raw score and displayed score (above 100: defect). Pictures
have any size, grey or colour, 8 or 16 bits a channel; Pillow reads 16 bits of grey pictures alone.
"""

import argparse
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

DECISIONS = ("good", "review", "defect")


def read(path: str, kind: type) -> np.ndarray:
    """Pixels (H, W, 1) or (H, W, 3), uint8 or uint16 as `kind` says, upright, without alpha."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode in ("I", "F"):
        sys.exit(f"{path}: its values have neither 8 nor 16 bits")
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)[..., None]
    elif image.mode in ("1", "L", "LA"):
        pixels = np.asarray(image.convert("L"))[..., None]
    else:
        has_alpha = image.mode == "P" and "transparency" in image.info
        pixels = np.asarray((image.convert("RGBA") if has_alpha else image).convert("RGB"))
    if pixels.dtype == kind:
        return pixels
    if kind is np.uint16:
        return pixels.astype(np.uint16) * 257
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--threshold", type=float, help="in place of that of the release")
    asked = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs with defaults, which are meant
    session = onnxruntime.InferenceSession(asked.model, options)
    kind = np.uint16 if session.get_inputs()[0].type == "tensor(uint16)" else np.uint8
    own = {} if asked.threshold is None else {"threshold": np.array(asked.threshold)}
    worst = 0
    for path in asked.pictures:
        inputs = {"image": read(path, kind), **own}
        score, decision, displayed = session.run(["score", "decision", "displayed"], inputs)
        worst = max(worst, int(decision))
        print(f"{path}: {DECISIONS[int(decision)]} {float(score)!r} {float(displayed):.1f}")
    sys.exit(worst)  # 0: all good, 1: one to look at, 2: a defect


if __name__ == "__main__":
    main()
