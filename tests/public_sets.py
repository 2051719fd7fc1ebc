"""Small archives with the structure of the public sets, from images drawn for that."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

Files = dict[str, bytes]
SIDE = 48


def picture(seed: int, form: str = "PNG", mode: str = "RGB") -> bytes:
    """A ramp with noise: no two are the same."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 180, SIDE)[None, :, None] + rng.normal(0, 8, (SIDE, SIDE, 3))
    return encoded(Image.fromarray(ramp.clip(0, 255).astype(np.uint8)).convert(mode), form)


def mask(value: int = 255, form: str = "PNG") -> bytes:
    """A square of `value`; nothing where that is 0."""
    marked = np.zeros((SIDE, SIDE), np.uint8)
    marked[10:20, 10:20] = value
    return encoded(Image.fromarray(marked), form)


def encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def mvtec_ad(categories: tuple[str, ...] = ("bottle", "screw"), above: str = "") -> Files:
    files: Files = {}
    for n, category in enumerate(categories):
        root = f"{above}{category}"
        files[f"{root}/readme.txt"] = b"hello"
        files |= {f"{root}/train/good/{i:03}.png": picture(100 * n + i) for i in range(4)}
        files |= {f"{root}/test/good/{i:03}.png": picture(100 * n + 20 + i) for i in range(2)}
        files |= {f"{root}/test/broken/{i:03}.png": picture(100 * n + 40 + i) for i in range(2)}
        files |= {f"{root}/ground_truth/broken/{i:03}_mask.png": mask() for i in range(2)}
    return files


def mpdd() -> Files:
    return mvtec_ad(("bracket_black", "tubes"), "MPDD/")


def visa() -> Files:
    """Masks hold the number of the defect, and only the table says what is for training."""
    files: Files = {"LICENSE-DATASET": b"CC BY"}
    rows = ["object,split,label,image,mask"]
    for n, category in enumerate(("candle", "pcb1")):
        root = f"{category}/Data"
        for i in range(6):
            name = f"{root}/Images/Normal/{i:04}.JPG"
            files[name] = picture(1000 + 100 * n + i, "JPEG")
            rows.append(f"{category},{'test' if i in (1, 4) else 'train'},normal,{name},")
        for i in range(2):
            name, truth = f"{root}/Images/Anomaly/{i:03}.JPG", f"{root}/Masks/Anomaly/{i:03}.png"
            files |= {name: picture(1050 + 100 * n + i, "JPEG"), truth: mask(i + 1)}
            rows.append(f"{category},test,anomaly,{name},{truth}")
        files[f"{category}/image_anno.csv"] = b"image,label,mask\n"
    files["split_csv/1cls.csv"] = "\n".join([*rows, ""]).encode()
    files["split_csv/2cls_fewshot.csv"] = b"object,split,label,image,mask\n"
    return files


def btad() -> Files:
    """01 and 03 are BMP, the masks of 03 too."""
    files: Files = {"BTech_Dataset_transformed/README.txt": b"License type: CC-BY-SA"}
    for n, (category, form, truth) in enumerate(
        (("01", "BMP", "PNG"), ("02", "PNG", "PNG"), ("03", "BMP", "BMP"))
    ):
        root, end = f"BTech_Dataset_transformed/{category}", form.lower()
        for i in range(4):
            files[f"{root}/train/ok/{i:04}.{end}"] = picture(2000 + 100 * n + i, form)
        for i in range(2):
            files[f"{root}/test/ok/{i:04}.{end}"] = picture(2020 + 100 * n + i, form)
            files[f"{root}/test/ko/{i:04}.{end}"] = picture(2040 + 100 * n + i, form)
            files[f"{root}/ground_truth/ko/{i:04}.{truth.lower()}"] = mask(255, truth)
    return files


def kolektor_sdd2() -> Files:
    """Every image has its mask, empty where it is good; one was copied by mistake."""
    files: Files = {"split_weakly_0.pyb": b"\x80\x04."}
    for i in range(8):
        split, number = ("train", 10000 + i) if i < 5 else ("test", 20000 + i)
        files[f"{split}/{number}.png"] = picture(3000 + i)
        files[f"{split}/{number}_GT.png"] = mask(255 if i in (4, 7) else 0)
    files["train/10001 (copy).png"] = files["train/10001.png"]
    files["train/10001_GT (copy).png"] = files["train/10001_GT.png"]
    return files


def magnetic_tile() -> Files:
    """Free tiles on both sides of the number at which the test begins; one mask is empty."""
    root = "Magnetic-tile-defect-datasets.-cc4eb53"
    files: Files = {f"{root}/README.md": b"welcomed", f"{root}/dataset.jpg": picture(1, "JPEG")}
    for i, number in enumerate((2610, 10181, 11276, 16503, 313835, 400000)):
        name = f"{root}/MT_Free/Imgs/exp{i + 1}_num_{number}"
        files |= {f"{name}.jpg": picture(4000 + i, "JPEG", "L"), f"{name}.png": mask(0)}
    for i, (label, value) in enumerate((("Blowhole", 255), ("Fray", 255), ("Uneven", 0))):
        name = f"{root}/MT_{label}/Imgs/exp1_num_{108719 + i}"
        files |= {f"{name}.jpg": picture(4050 + i, "JPEG", "L"), f"{name}.png": mask(value)}
    return files


DRAWN = {
    "mvtec-ad": mvtec_ad,
    "visa": visa,
    "mpdd": mpdd,
    "btad": btad,
    "kolektor-sdd2": kolektor_sdd2,
    "magnetic-tile": magnetic_tile,
}


def packed(files: Files, path: Path) -> Path:
    """An archive of the files, of the kind that the name asks for."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
        return path
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as tape:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    return path
