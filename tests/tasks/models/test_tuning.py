"""A search for parameters: judged without a test image, resumed as if it had not been stopped."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ad_models import ALGORITHMS, config, kind
from ad_models.errors import Cancelled
from ad_models.search import Search, ranges
from tasks.images.preprocess import Preprocess
from tasks.models import tuning
from tasks.models.painted import paint, spoil
from tasks.models.tuning import Tuning, tune
from tasks.products.set_parameters import set_parameters
from tasks.spec.read import read_product
from tasks.spec.schema import Image as ImageSpec
from tasks.store.opening import store_of
from tasks.workspace.errors import BusyError, DataError, LineError, SpecError
from tasks.workspace.files import write_rows
from tasks.workspace.lock import lock
from tasks.workspace.paths import Workspace

SPEC = {
    "algorithms": {"padim": {"backbone": "drawnet", "dims": 8, "layers": ["layer1"]}, "vae": None},
    "image": {"size": 32},
}
OPENED: list[str] | None = None  # files that this process opened, while somebody asks


def hear(event: str, arguments: tuple) -> None:
    if OPENED is not None and event == "open":
        OPENED.append(str(arguments[0]))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("tuned")
    (root / ".dvc").mkdir()
    (root / "params.yaml").write_text("defaults: {}\n")
    made, rng = Workspace(root), np.random.default_rng(0)
    rows = []
    for name in [*(f"train/good/{n}" for n in range(9)), "test/good/0", "test/crack/0"]:
        path = made.images("nut") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(90, 120, (40, 40, 3), dtype=np.uint8)).save(path)
        if name.startswith("train"):
            rows.append({"path": f"{name}.png", "sha256": rng.bytes(32).hex()})
    (made.product("nut") / "product.yaml").write_text(yaml.safe_dump(SPEC))
    made.validation("nut").mkdir()
    write_rows(made.validation("nut") / "train.csv", ("path", "sha256"), rows)
    return made


class Heard:
    """A listener that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def report(self, *_: object, **__: object) -> None: ...

    def should_stop(self) -> bool:
        return False


def tried(heard: Heard) -> list[str]:
    """The values of each trial."""
    return [line.split("), ")[1].split(";")[0] for line in heard.lines if line.startswith("trial")]


def test_a_search_opens_no_test_image_and_goes_on_where_it_was_killed(workspace, monkeypatch):
    pytest.importorskip("optuna")
    global OPENED
    sys.addaudithook(hear)  # there is no way to take it back
    OPENED, whole = [], Heard()
    found = tune(workspace, "nut", "padim", whole, trials=4)
    opened, OPENED = OPENED, None
    assert sum("/train/good/" in path for path in opened) >= 9
    assert not [path for path in opened if f"{workspace.root}" in path and "/test/" in path]
    assert tried(whole)[0] == "as it is now" and "about" in whole.lines[0]
    assert (found.trials, found.complete) == (4, True) and found.figure >= found.before
    journals = workspace.scratch / "tune/nut"
    for file in journals.glob("*.journal*"):
        file.unlink()

    figure, count = Tuning.figure, iter(range(99))

    def killed(self: Tuning, values: dict) -> float:
        if next(count) == 2:
            raise Cancelled("a process that is killed says nothing")
        return figure(self, values)

    monkeypatch.setattr(Tuning, "figure", killed)
    with pytest.raises(Cancelled):
        tune(workspace, "nut", "padim", before := Heard(), trials=4)
    again = tune(workspace, "nut", "padim", after := Heard(), trials=4)
    assert after.lines[0].startswith("going on after 2 trials")
    assert tried(before) + tried(after) == tried(whole)
    assert again == found
    assert tune(workspace, "nut", "padim", nothing := Heard(), trials=4) == found
    assert tried(nothing) == []
    with lock(journals / "padim.lock", "x"), pytest.raises(BusyError, match="search for nut padim"):
        tune(workspace, "nut", "padim", Heard())


def test_time_ends_a_search_and_values_that_cannot_be_are_passed_over(workspace, monkeypatch):
    pytest.importorskip("optuna")
    short = tune(workspace, "nut", "padim", Heard(), trials=40, minutes=1e-9, seed=1)
    assert (short.trials, short.complete, short.best) == (1, False, {})
    monkeypatch.setattr(tuning, "ranges", lambda _: {"dims": Search(5000, 6000)})
    found = tune(workspace, "nut", "padim", heard := Heard(), trials=2, seed=1)
    assert (found.refused, found.best) == (1, {}) and "not possible" in heard.lines[-1]


def test_what_cannot_be_searched_is_named(workspace, monkeypatch):
    pytest.importorskip("optuna")
    with pytest.raises(SpecError, match="unknown algorithm 'padm'; did you mean 'padim'"):
        tune(workspace, "nut", "padm", Heard())
    with pytest.raises(SpecError, match="learned for all products at once"):
        tune(workspace, "nut", "regad", Heard())
    monkeypatch.setattr(tuning, "FEWEST", 10)
    with pytest.raises(DataError, match="9 good training images; tune needs 10"):
        tune(workspace, "nut", "padim", Heard())
    (workspace.root / "data/bolt").mkdir()
    (workspace.root / "data/bolt/product.yaml").write_text("algorithms: [padim]\n")
    with pytest.raises(DataError, match="bolt is not validated yet"):
        tune(workspace, "bolt", "padim", Heard())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_ends_of_each_range_are_taken(algorithm):
    for name, searched in ranges(kind(algorithm).Config).items():
        for value in searched.choices or (searched.low, searched.high):
            config(algorithm, **{name: value})
    if algorithm == "padim":
        assert set(ranges(kind("padim").Config)) == {"dims", "epsilon", "sigma"}


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 1), (np.uint16, 3)])
def test_a_painted_copy_differs_where_its_mask_says(tmp_path: Path, dtype, channels):
    import tifffile

    from tasks.images.decode import decode_image

    pixels = np.full((60, 80, channels), 1000 if dtype == np.uint16 else 100, dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels.squeeze(), photometric="rgb" if channels == 3 else "minisblack"
    )
    spec = ImageSpec(size=32, roi=(10, 5, 50, 40), bits=12 if dtype == np.uint16 else None)
    row = paint(tmp_path, {"path": "a.tif", "sha256": "1"}, tmp_path, Preprocess(spec), 0)
    found = decode_image(Path(row["path"]).read_bytes(), "copy").pixels
    mask = np.zeros((60, 80), bool)
    mask[5:45, 10:60] = np.load(row["mask"])
    assert found.dtype == dtype and found.shape == pixels.shape and mask.any()
    np.testing.assert_array_equal(found[~mask], pixels[~mask])
    assert (found[mask] != pixels[mask]).any(axis=1).mean() > 0.9
    assert dtype == np.uint8 or found.max() <= 4095
    assert paint(tmp_path, {"path": "a.tif", "sha256": "1"}, tmp_path, Preprocess(spec), 0) == row
    again = pixels[5:45, 10:60].copy()
    spoil(again, int(row["sha256"][:8], 16), spec.bits)
    np.testing.assert_array_equal(again, found[5:45, 10:60])


def test_values_are_set_with_a_record(workspace):
    (workspace.root / "data/cap").mkdir()
    file = workspace.root / "data/cap/product.yaml"
    file.write_text("# ask Maria\nalgorithms:\n  - padim # fast\n  - vae\n")
    who = {"by": "anna", "reason": "tuned"}
    record = set_parameters(workspace, "cap", "padim", {"sigma": 2.0}, **who)
    assert record["what"] == "padim: sigma 2.0" and record["old"] == {} and "note" not in record
    assert read_product(workspace.root, "cap").algorithms == {"padim": {"sigma": 2.0}, "vae": None}
    assert file.read_text().startswith("# ask Maria\n")
    set_parameters(workspace, "cap", "padim", {"dims": 20}, **who)
    assert read_product(workspace.root, "cap").algorithms["padim"] == {"sigma": 2.0, "dims": 20}
    assert len(list(store_of(workspace).keys("records/cap/"))) == 2
    with pytest.raises(LineError, match="already has these values"):
        set_parameters(workspace, "cap", "padim", {"dims": 20}, **who)
    with pytest.raises(SpecError, match="no parameter 'dim'"):
        set_parameters(workspace, "cap", "padim", {"dim": 20}, **who)
