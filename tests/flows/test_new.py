"""From a folder of pictures to a product: its spec, its neighbours, its name, its end."""

import csv
import hashlib
import json
import shutil
import subprocess

import pytest
import torch
import yaml
from PIL import Image
from torchvision.models import resnet18

from flows.new import new_product
from flows.running.plan import make_plan
from tasks.build.records import Stage
from tasks.spec.read import read_product
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.store.releases import releases
from tasks.workspace.errors import WorkspaceError
from tests.flows.conftest import edit, refused


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights: random ones, always the same."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def at_hand(weights, monkeypatch):
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(weights))


def spec_of(workspace, product):
    return (workspace.product(product) / "product.yaml").read_text()


def test_a_new_product_gets_a_spec_with_remarks(workspace, samples, command):
    result = command(workspace, "new", "cap", "--from", samples / "cap")
    assert result.exit_code == 0, result.output
    assert "wrote data/cap/product.yaml" in result.output
    assert (
        "12 good images: no threshold can promise less than 8 % overkill on average"
        in result.output
    )
    assert "no less than 22 % with 95 % confidence" in result.output
    assert "algorithms, chosen for 12 good images: patchcore, padim" in result.output
    assert "anomalydino is left out: there are no weights of vit_small" in result.output
    text = spec_of(workspace, "cap")
    assert "of images that are 64 x 64" in text and "12 images can promise 7.7 % at best" in text
    spec = read_product(workspace.root, "cap")
    assert spec.image.size == (128, 128) and list(spec.algorithms) == ["patchcore", "padim"]
    assert (workspace.product("cap") / "images.dvc").is_file()
    again = command(workspace, "new", "cap", "--from", samples / "cap")
    assert again.exit_code == 1 and "is there already" in again.output


def test_images_that_no_run_would_take_are_not_sent_into_one(workspace, command, tmp_path):
    for value in range(3):
        Image.new("L", (1, 1), value).save(tmp_path / f"{value}.png")
    told = command(workspace, "new", "dot", "--from", tmp_path).output
    assert "16" in told and "next: mend what is listed, then `inspectline run -p dot`" in told


def test_what_it_has_validated_a_run_does_not_validate_again(workspace, samples, command):
    command(workspace, "new", "cap", "--from", samples / "cap")
    validation = Stage("validate", "cap")
    assert validation not in make_plan(workspace, ["cap"]).stages
    assert (workspace.validation("cap") / "train.csv").is_file()
    edit(workspace, "cap", gates={"image_auroc": 0.5})
    assert validation not in make_plan(workspace, ["cap"]).stages
    edit(workspace, "cap", validation={"min_train": 5})
    assert validation in make_plan(workspace, ["cap"]).stages
    command(workspace, "new", "plate", "--from", samples / "plate")
    assert validation in make_plan(workspace, ["cap"]).stages
    assert Stage("validate", "plate") not in make_plan(workspace, ["plate"]).stages


def test_what_it_has_validated_is_in_the_remote_too(workspace, samples, command, tmp_path):
    remote = ["dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "remote")]
    subprocess.run(remote, cwd=workspace.root, check=True)
    command(workspace, "new", "cap", "--from", samples / "cap")
    digest = hashlib.md5((workspace.validation("cap") / "train.csv").read_bytes()).hexdigest()
    assert (tmp_path / "remote" / "files" / "md5" / digest[:2] / digest[2:]).is_file()


def test_what_fails_is_validated_again_and_git_ignores_it(workspace, command, tmp_path):
    for value in range(3):
        Image.new("L", (1, 1), value).save(tmp_path / f"{value}.png")
    command(workspace, "new", "dot", "--from", tmp_path)
    validation = Stage("validate", "dot")
    plan = make_plan(workspace, ["dot"])
    assert validation in plan.stages
    git = ["git", "-C", str(workspace.root)]
    status = subprocess.run(
        [*git, "status", "--porcelain", "-uall"], capture_output=True, text=True, check=True
    ).stdout
    assert "data/dot/dvc.yaml" in status and "manifest.csv" not in status
    manifest = str(workspace.validation("dot") / "manifest.csv")
    subprocess.run([*git, "add", "--force", manifest], check=True)
    with pytest.raises(WorkspaceError, match=r"cannot record validate dot: (?s:.*)git rm"):
        plan.cells.commit([(validation, plan.cells.inputs(validation))])


@pytest.mark.parametrize("where", ["proposed_spec", "find_problems"])
def test_a_new_product_that_was_cut_off_is_completed_by_the_same_command(
    workspace, samples, command, monkeypatch, where
):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(f"flows.new.{where}", killed)
        new_product(workspace, "cap", str(samples / "cap"), None, lambda *_: False)
    result = command(workspace, "new", "cap", "--from", samples / "cap")
    assert result.exit_code == 0, result.output
    assert (workspace.product("cap") / "images.dvc").is_file()
    assert (workspace.product("cap") / "dvc.yaml").is_file()
    again = command(workspace, "new", "cap", "--from", samples / "cap")
    assert again.exit_code == 1 and "is there already" in again.output


def test_good_images_alone_and_what_they_leave_open(workspace, samples, command):
    result = command(workspace, "new", "cap", "--from", samples / "cap" / "train" / "good")
    assert result.exit_code == 0
    assert "no defective image" in result.output and "no good image in test/good" in result.output
    assert "image_auroc: null # unknown without defects" in spec_of(workspace, "cap")
    assert read_product(workspace.root, "cap").gates.image_auroc is None


def test_defects_without_good_parts_to_test_on_leave_the_auroc_open(
    workspace, samples, command, tmp_path
):
    for name, here in (("train/good", "good"), ("test/crack", "crack")):
        shutil.copytree(samples / "cap" / name, tmp_path / "mine" / here)
    result = command(workspace, "new", "cap", "--from", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert "in test/good: image AUROC and overkill are unknown" in result.output
    gates = read_product(workspace.root, "cap").gates
    assert gates.image_auroc is None and gates.miss == 0.5


def test_like_another_product(workspace, samples, command):
    command(workspace, "new", "cap", "--from", samples / "cap")
    path = workspace.product("cap") / "product.yaml"
    path.write_text("# mine\nimage: {size: 96, roi: [0, 0, 60, 60]} # a remark\n")
    named = command(workspace, "new", "plate", "--from", samples / "plate", "--like", "cap")
    assert named.exit_code == 0
    assert spec_of(workspace, "plate").splitlines() == [
        "# The spec of plate, started from that of cap.",
        "image: {size: 96, roi: [0, 0, 60, 60]} # a remark",
    ]
    nearest = command(workspace, "new", "cap2", "--from", samples / "cap", "--like", "auto")
    assert nearest.exit_code == 0
    assert "started from that of cap, whose images are the most similar (1.00)" in spec_of(
        workspace, "cap2"
    )
    unknown = command(workspace, "new", "x", "--from", samples / "cap", "--like", "cpa")
    assert unknown.exit_code == 1 and "no product 'cpa'" in unknown.output
    assert not workspace.product("x").exists()


def test_without_a_word_the_most_similar_is_only_named(workspace, samples, command):
    command(workspace, "new", "cap", "--from", samples / "cap")
    result = command(workspace, "new", "cap2", "--from", samples / "cap")
    assert "most like cap, similarity 1.000" in result.output
    assert "proposed from 12 good images" in spec_of(workspace, "cap2")


def test_a_table_begins_many_and_names_what_failed(workspace, samples, command, tmp_path):
    table = tmp_path / "products.csv"
    rows = [
        ("cap", samples / "cap", "", "0.5"),
        ("bad name", samples / "cap", "", ""),
        ("plate", tmp_path / "nowhere", "", ""),
        ("weave", samples / "weave", "cap", ""),
        ("odd", samples / "plate", "", "high"),
    ]
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("name", "folder", "like", "gates.image_auroc"), *rows])
    result = command(workspace, "new", "--table", table)
    assert result.exit_code == 1
    assert "2 products created or updated, 3 rows failed" in result.output
    assert "nowhere: no such file or folder" in result.output
    assert "gates.image_auroc: " in result.output
    assert workspace.products == ["cap", "weave"]
    assert read_product(workspace.root, "cap").gates.image_auroc == 0.5
    assert read_product(workspace.root, "weave").gates.image_auroc == 0.5
    again = command(workspace, "new", "--table", table)
    assert "row 1 cap, of 5: 0 new images" in again.output


def by_kind(samples, folder):
    """Folders of images whose names say nothing certain: kind a is good, kind b cracked."""
    for part, kind in (("train/good", "kind a"), ("test/crack", "kind b")):
        shutil.copytree(samples / "cap" / part, folder / kind)
    return folder


def test_what_may_be_a_label_is_asked_and_answered(workspace, samples, command, tmp_path):
    drop = by_kind(samples, tmp_path / "drop")
    for words in (["new", "cap", "--from", drop], ["ingest", "cap", drop]):
        refused(command(workspace, *words), "kind a (12), kind b (2)", "--labels 'good=kind a'")
        assert not workspace.product("cap").exists()
    wrong = command(workspace, "ingest", "cap", drop, "--labels", "good")
    refused(wrong, "'good' names no folder", "--labels LABEL=FOLDER")
    answer = ["--labels", "good=kind a", "--labels", "crack=kind b"]
    made = command(workspace, "new", "cap", "--from", drop, *answer)
    assert made.exit_code == 0, made.output
    assert "test/crack 2, train/good 12" in made.output
    again = command(workspace, "ingest", "cap", drop, *answer)
    assert "0 new images, 14 known" in again.output and "train/good 12" in again.output


def test_a_table_answers_for_each_row(workspace, samples, command, tmp_path):
    drop, table = by_kind(samples, tmp_path / "drop"), tmp_path / "products.csv"
    table.write_text(f"name,folder,labels\ncap,{drop},good=kind a;crack=kind b\n")
    result = command(workspace, "new", "--table", table)
    assert result.exit_code == 0 and "test/crack 2, train/good 12" in result.output


def test_where_every_file_is_refused_no_product_is_made(workspace, samples, command, tmp_path):
    """The source is one level too deep, or holds masks alone."""
    (tmp_path / "deep/train/good/more").mkdir(parents=True)
    shutil.copy(next((samples / "cap/train/good").iterdir()), tmp_path / "deep/train/good/more")
    shutil.copytree(samples / "cap" / "ground_truth", tmp_path / "masks" / "masks")
    for source, reason in (("deep", "not in its place"), ("masks", "mask without its image")):
        for words in (["ingest", "cap", tmp_path / source], ["new", "cap", "--from"]):
            result = command(
                workspace, *words, *([tmp_path / source] if words[-1] == "--from" else [])
            )
            refused(result, "no image was taken", reason)
            assert not workspace.product("cap").exists()
    assert command(workspace, "new", "cap", "--from", samples / "cap").exit_code == 0


def test_a_table_in_yaml(workspace, samples, command, tmp_path):
    table = tmp_path / "products.yaml"
    row = {"name": "cap", "folder": str(samples / "cap"), "gates": {"image_auroc": None}}
    table.write_text(yaml.safe_dump([{**row, "algorithms": {"padim": {"dims": 10}}}]))
    assert command(workspace, "new", "--table", table).exit_code == 0
    spec = read_product(workspace.root, "cap")
    assert spec.gates.image_auroc is None and spec.algorithms == {"padim": {"dims": 10}}


def test_renaming_keeps_models_releases_and_champion(copy, command):
    before = champion(store_of(copy), "plate")
    count = len(releases(store_of(copy), "plate"))
    model = copy.model("plate", "padim") / "model.safetensors"
    content, written = model.read_bytes(), model.stat().st_mtime_ns
    result = command(copy, "rename", "plate", "disc")
    assert result.exit_code == 0, result.output
    after = champion(store_of(copy), "disc")
    assert after.release == before.release and "renamed from plate" in after.reason
    assert len(releases(store_of(copy), "disc")) == len(releases(store_of(copy), "plate")) == count
    assert copy.products == ["cap", "disc"]
    ran = command(copy, "run", "-p", "disc")
    assert ran.exit_code == 0, ran.output
    model = copy.model("disc", "padim") / "model.safetensors"
    assert (model.read_bytes(), model.stat().st_mtime_ns) == (content, written)
    rows = json.loads(command(copy, "results", "--json").stdout)
    assert {row["product"] for row in rows} == {"cap", "disc"}
    taken = command(copy, "rename", "cap", "disc")
    assert taken.exit_code == 1 and "already" in taken.output


def test_a_removed_product_can_come_back(copy, command):
    image = next(copy.images("plate").glob("test/good/*.png"))
    kept = copy.root / "kept.png"
    shutil.copy(image, kept)
    result = command(copy, "remove", "plate")
    assert result.exit_code == 0
    assert copy.products == ["cap"] and "plate" not in (copy.root / "dvc.yaml").read_text()
    assert command(copy, "predict", "plate", kept, "--json").exit_code == 0
    [aside] = (copy.scratch / "removed").iterdir()
    aside.rename(copy.product("plate"))
    assert "nothing to do" in command(copy, "run").output or copy.products == ["cap", "plate"]
