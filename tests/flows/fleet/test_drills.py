"""What may happen to a line with workers: each drill on a real server, two workers in clones of
their own, and an S3 server for the DVC remote and the store. Afterwards DVC has nothing to do."""

import json
import re
import shutil
import subprocess
import time

import pytest

from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.paths import Workspace
from tests.flows.conftest import edit, write_params
from tests.flows.farm import Farm, git, prefect_environment, share, started, until
from tests.s3_servers import free_port, rclone_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
POOL = "press shop"  # any name will do
WORKERS = {"checkpoint": 2.0, "rest": 30.0, "pool": {"name": POOL}}
LONG = {"reverse_distillation": {"epochs": 60}}  # a minute or more


class Ground(Farm):
    """A farm whose server and S3 can be taken away."""

    def begin(self) -> None:
        words = ["prefect", "server", "start", "--port", self.environment["PORT"]]
        self.server = started(words, self.environment, self.folder)
        self.server.__enter__()

    def lines(self, process):
        """What a command says, as far as it has: a list that grows."""
        import threading

        said = []

        def read():
            with (self.folder / "run.log").open("a") as log:
                for text in process.stdout:
                    said.append((time.monotonic(), text.rstrip()))
                    print(text.rstrip(), file=log, flush=True)

        threading.Thread(target=read, daemon=True).start()
        return said


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A server, S3 and two workers; `workspace` is set by each test."""
    folder = tmp_path_factory.mktemp("farm")
    (folder / "s3" / "far").mkdir(parents=True)
    (folder / "s3" / "store").mkdir()
    s3 = rclone_server(folder / "s3")
    s3.start()
    port = free_port()
    (folder / "aws").touch()  # a file that is named has to be there, for DVC
    environment = prefect_environment(folder / "prefect", port) | s3.environment()
    environment |= {"AWS_CONFIG_FILE": str(folder / "aws"), "PORT": str(port)}
    farm = Ground(folder, Workspace(folder), environment, POOL)
    farm.s3 = s3
    farm.begin()
    until(farm.answers, "no server")
    farm.start("gpu1")
    farm.start("gpu2")
    try:
        yield farm
    finally:
        farm.end()
        farm.server.__exit__()
        s3.kill()


@pytest.fixture
def farm(ground, make, tmp_path, monkeypatch, request):
    """The ground, with a workspace of the test's own, deployed."""
    for name in (*ground.s3.environment(), "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, ground.environment[name])
    workspace = make(tmp_path / f"line-{request.node.name[5:15]}", "cap")
    share(workspace, tmp_path, f"s3://far/{workspace.root.name}")
    settings = {"device": "cpu", "workers": WORKERS, "single_writer": True}
    settings["store"] = f"s3://store/{workspace.root.name}"
    write_params(workspace.root, line=settings)
    ground.workspace = workspace
    ground.call("deploy")
    until(lambda: ground.online() == ["gpu1", "gpu2"], "two workers")
    return ground


def said(lines, pattern):
    """The first line that says so, with its time."""
    return next((one for one in lines if re.search(pattern, one[1])), None)


def ended(process, lines, code=0):
    process.wait(1800)
    time.sleep(1)
    process.stdout.close()
    text = "\n".join(text for _, text in lines)
    assert process.returncode == code, text
    assert "Traceback" not in text, text
    return text


def wait_for(lines, process, pattern):
    def look():
        assert process.poll() is None, "\n".join(text for _, text in lines)
        return said(lines, pattern)

    return until(look, pattern)


def checkpoints(farm):
    folder = farm.folder / "s3" / "far" / farm.workspace.root.name / "inspectline"
    return list(folder.rglob("*.ckpt"))


def test_killed_worker(farm):
    edit(farm.workspace, "cap", algorithms=LONG)
    run = farm.line("run")
    lines = farm.lines(run)
    wait_for(lines, run, r"fit cap reverse_distillation: .*learn (\d\d)/60")
    until(lambda: checkpoints(farm), "a checkpoint in the remote")
    name = re.search(r"(gpu\d) learn", "".join(text for _, text in lines)).group(1)
    other = {"gpu1": "gpu2", "gpu2": "gpu1"}[name]
    farm.kill(name)
    killed = time.monotonic()
    lost, _ = wait_for(lines, run, f"{name} is lost")
    assert lost - killed < 120
    ended(run, lines)
    assert "continues from reverse_distillation." in farm.log(other)
    again = [int(n) for n in re.findall(f"{other} learn (\\d+)/60", "".join(t for _, t in lines))]
    assert again and min(again) > 5, again  # not from the start
    print(f"worker killed: noticed after {lost - killed:.0f} s, went on in epoch {min(again)}")
    assert champion(store_of(farm.workspace), "cap")
    assert checkpoints(farm) == []
    farm.clean()
    farm.start(name)  # and takes cells again: no slot is lost
    until(lambda: farm.online() == ["gpu1", "gpu2"], "two workers")
    edit(farm.workspace, "cap", algorithms=["padim", "patchcore"])
    run = farm.line("run")
    lines = farm.lines(run)
    ended(run, lines)
    assert farm.clone(name).root.exists()


def test_server_restart(farm):
    edit(farm.workspace, "cap", algorithms=LONG)
    run = farm.line("run")
    lines = farm.lines(run)
    wait_for(lines, run, r"learn \d\d/60")
    farm.server.process.kill()
    farm.server.__exit__()
    time.sleep(30)
    farm.begin()
    ended(run, lines)
    assert champion(store_of(farm.workspace), "cap")
    assert not said(lines, "is lost")
    farm.clean()
    until(lambda: farm.online() == ["gpu1", "gpu2"], "both workers are back")


def test_s3_gone(farm):
    edit(farm.workspace, "cap", algorithms={"reverse_distillation": {"epochs": 20}})
    run = farm.line("run")
    lines = farm.lines(run)
    wait_for(lines, run, r"learn \d+/20")
    farm.s3.kill()  # until after the worker wants to push
    time.sleep(60)
    farm.s3.start()
    wait_for(lines, run, "done +evaluate cap")
    farm.s3.kill()  # and while the champion is published
    time.sleep(60)
    farm.s3.start()
    ended(run, lines)
    assert champion(store_of(farm.workspace), "cap")
    farm.clean()


def test_disk_full(farm, tmp_path):
    disk = farm.folder / "gpu3" / "clones"
    disk.mkdir(parents=True)
    call = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(call, check=False).returncode:
        pytest.skip("a small disk can be mounted by root only")
    for name in ("gpu1", "gpu2"):
        farm.kill(name)
    edit(farm.workspace, "cap", algorithms=["padim"])
    try:
        farm.start("gpu3")
        run = farm.line("run")
        lines = farm.lines(run)
        wait_for(lines, run, "no space left|No space left")
        farm.start("gpu1")
        farm.start("gpu2")
        text = ended(run, lines)
        assert "is champion" in text
        farm.clean()
    finally:
        farm.kill("gpu3")
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_two_coordinators(farm, tmp_path):
    edit(farm.workspace, "cap", algorithms=LONG)
    first = farm.line("run")
    lines = farm.lines(first)
    wait_for(lines, first, r"learn \d+/60")
    other = tmp_path / "other"
    shutil.copytree(farm.workspace.root, other, symlinks=True)
    mine, farm.workspace = farm.workspace, Workspace(other)
    second = farm.line("run")
    heard = farm.lines(second)
    text = ended(second, heard, code=75)
    assert "cap is held by a run" in text and "it is alive" in text
    farm.workspace = mine
    ended(first, lines)
    farm.clean()
    assert git(tmp_path / "line.git", "for-each-ref", "refs/inspectline") == ""


def test_corrupt_object(farm):
    edit(farm.workspace, "cap", algorithms=["padim"])
    listed = json.dumps(sorted(p.name for p in farm.workspace.images("cap").rglob("*.png")))
    farm.call("run", "-a", "padim")
    far = farm.folder / "s3" / "far" / farm.workspace.root.name / "files" / "md5"
    hurt = [p for p in far.rglob("*") if p.is_file() and p.suffix != ".dir" and is_png(p)][:3]
    good = {p: p.read_bytes() for p in hurt}
    for path, content in good.items():
        path.write_bytes(content[: len(content) // 2])
    for name in ("gpu1", "gpu2"):  # that have the images no more
        shutil.rmtree(farm.folder / name / "clones")
    edit(farm.workspace, "cap", algorithms=["patchcore"])
    run = farm.line("run")
    lines = farm.lines(run)
    text = ended(run, lines)
    assert "missing or damaged" in text
    assert all(p.read_bytes() == content for p, content in good.items())
    assert listed == json.dumps(sorted(p.name for p in farm.workspace.images("cap").rglob("*.png")))
    farm.clean()


def is_png(path):
    return path.read_bytes()[:4] == b"\x89PNG"
