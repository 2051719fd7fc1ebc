"""The command line's own behaviour: help, finding the workspace, and what it may import."""

import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.arrival.samples.draw import draw_samples
from tasks.init import init
from tasks.spec.read import read_params

HEAVY = ("torch", "great_expectations", "prefect", "dvc", "pandas", "boto3", "pydantic", "numpy")
COMMANDS = sorted(main.commands)


def snapshot(root):
    """Bytes of every file that is not the inside of git or DVC."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {p: p.read_bytes() for p in files if ".git" not in p.parts and "tmp" not in p.parts}


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from flows.cli import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print([m for m in {HEAVY} if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
    assert all(name in ended.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert main.commands[name].get_short_help_str()[:20] in result.output


NUMBERS = {
    "serve": ("--every", "--batch", "--at-work", "--heat-side", "--waiting", "--upload-mb"),
    "watch": ("--every", "--settle", "--gather", "--at-most"),
}


@pytest.mark.parametrize("wrong", ["-1", "nan", "inf", "1e300", "x"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_no_clock_or_bound_can_be_is_refused(name, wrong):
    for option in NUMBERS[name]:
        result = CliRunner().invoke(main, [name, "a=b", f"{option}={wrong}"])
        assert result.exit_code == 2 and option in result.output, result.output
    if name == "serve":
        assert CliRunner().invoke(main, ["serve", "a", "--batch=0"]).exit_code == 2


def test_init_again_changes_nothing_and_keeps_edits(tmp_path):
    made = CliRunner().invoke(main, ["init", str(tmp_path / "ws")])
    assert made.exit_code == 0 and "params.yaml" in made.output
    assert "patchcore" in read_params(tmp_path / "ws").auto[2]
    params = tmp_path / "ws" / "params.yaml"
    params.write_text(params.read_text() + "# mine\n")
    (tmp_path / "ws" / ".gitignore").write_text(
        "mine\n.inspectline\n/store/\n/report/\n/dvc_plots\n/heat/\n/log/\n.*.partial\n"
    )
    before = snapshot(tmp_path / "ws")
    again = CliRunner().invoke(main, ["init", str(tmp_path / "ws")])
    assert again.exit_code == 0 and "is a workspace already" in again.output
    assert snapshot(tmp_path / "ws") == before


def test_init_makes_the_first_commit_or_says_how(tmp_path, monkeypatch):
    for who, said in (("kim", "made the first commit"), ("", "set user.name and user.email")):
        for name in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{name}_NAME", who)
            monkeypatch.setenv(f"GIT_{name}_EMAIL", who)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        made = CliRunner().invoke(main, ["init", str(tmp_path / (who or "nobody"))])
        assert made.exit_code == 0 and said in made.output
    git = ["git", "-C", str(tmp_path / "kim")]
    listed = subprocess.run([*git, "ls-files"], check=True, capture_output=True, text=True).stdout
    assert {"params.yaml", "dvc.yaml", ".dvc/config", ".gitignore"} <= set(listed.split())
    left = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True)
    assert not left.stdout


def test_a_dvc_project_of_somebody_s_own_is_left_as_it_is(tmp_path):
    graph = "stages: {train: {cmd: python train.py, outs: [model.pt]}}\n"
    (tmp_path / "dvc.yaml").write_text(graph)
    made = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert made.exit_code == 1 and "a DVC project of its own" in made.output
    assert [path.name for path in tmp_path.iterdir()] == ["dvc.yaml"]
    assert (tmp_path / "dvc.yaml").read_text() == graph


def test_params_of_somebody_s_own_are_named(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {lr: 0.1}\n")
    made = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert made.exit_code == 1 and "params.yaml" in made.output and "train" in made.output
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_sync_replaces_no_graph_that_it_did_not_write(tmp_path):
    CliRunner().invoke(main, ["init", str(tmp_path)])
    (tmp_path / "dvc.yaml").write_text("stages: {train: {cmd: mine}}\n")
    told = CliRunner().invoke(main, ["-w", str(tmp_path), "sync"])
    assert told.exit_code == 1 and "move it away" in told.output
    assert "cmd: mine" in (tmp_path / "dvc.yaml").read_text()


def test_init_in_a_folder_inside_another_repository(tmp_path):
    """The repository around it goes on as before: it cannot add one that is inside."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "mine.txt").write_text("mine")
    made = CliRunner().invoke(main, ["init", str(tmp_path / "deep" / "line")])
    assert made.exit_code == 0 and "info/exclude" in made.output
    assert CliRunner().invoke(main, ["-w", str(tmp_path / "deep/line"), "results"]).exit_code == 0
    subprocess.run(["git", "-C", tmp_path, "add", "-A"], check=True)
    staged = ["git", "-C", tmp_path, "diff", "--cached", "--name-only"]
    assert subprocess.run(staged, check=True, capture_output=True, text=True).stdout == "mine.txt\n"
    again = CliRunner().invoke(main, ["init", str(tmp_path / "deep" / "line")])
    assert again.exit_code == 0 and "info/exclude" not in again.output


CALLS = [
    ["run"],
    ["results"],
    ["ingest", "cap", "."],
    ["predict", "cap", "."],
    ["releases", "cap"],
    ["promote", "cap", "0" * 16],
    ["rollback", "cap"],
    ["sync"],
    ["report"],
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_outside_a_workspace_each_command_says_so(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 1
    assert "is in no workspace" in result.output and "inspectline init" in result.output


@pytest.mark.parametrize("call", [["results"], ["sync"], ["releases", "cap"]], ids=lambda c: c[0])
def test_a_command_finds_the_workspace_from_below_and_by_option(
    call, copy, command, monkeypatch, tmp_path
):
    monkeypatch.chdir(copy.images("cap") / "train")
    below = CliRunner().invoke(main, call)
    monkeypatch.chdir(tmp_path)
    assert below.exit_code == 0
    assert command(copy, *call).output == below.output
    assert command(copy.images("cap"), *call).output == below.output
    behind = CliRunner().invoke(main, [*call, "--workspace", str(copy.root)])
    assert behind.output == below.output


def test_ingest_says_what_is_next_and_doubts_a_name_that_is_nearly_another(tmp_path):
    CliRunner().invoke(main, ["init", str(tmp_path / "ws")])
    draw_samples(tmp_path / "drawn", 64, train=2, good=1, per_defect=1)
    call = ["-w", str(tmp_path / "ws"), "ingest"]
    whole = CliRunner().invoke(main, [*call, "plate", str(tmp_path / "drawn/plate")]).output
    assert "new product" not in whole and "no test images" not in whole
    assert whole.endswith("next: `inspectline run -p plate`\n")
    good = str(tmp_path / "drawn/plate/train/good")
    shutil.copytree(good, tmp_path / "alone")
    slip = CliRunner().invoke(main, [*call, "plates", str(tmp_path / "alone")]).output
    assert "did you mean 'plate'? Then `inspectline remove plates`" in slip
    assert "`gates: {image_auroc: null}` in data/plates/product.yaml" in slip
    again = CliRunner().invoke(main, [*call, "plates", str(tmp_path / "alone")]).output
    assert "did you mean" not in again


def test_results_of_an_empty_workspace_say_what_to_do(tmp_path, command):
    init(tmp_path)
    assert "inspectline run" in command(tmp_path, "results").output
    assert command(tmp_path, "results", "--json").stdout.strip() == "[]"


def test_an_error_of_the_program_itself_is_not_hidden(copy, monkeypatch):
    monkeypatch.setattr("tasks.leaderboard.read_results", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(main, ["-w", str(copy.root), "results"], catch_exceptions=False)
