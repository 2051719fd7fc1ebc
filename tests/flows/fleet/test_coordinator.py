"""The coordinator's bookkeeping, with a server that says what it is told to."""

import time
import uuid
from types import SimpleNamespace

import pytest

from flows.fleet import coordinator
from flows.fleet.batch_status import BatchStatus
from flows.fleet.batches import Batch, group_units
from flows.fleet.coordinator import Dispatch
from flows.running.plan import Plan
from tasks.build.records import Stage
from tasks.clones.outputs import DamagedError
from tasks.spec.schema import Line, Workers
from tasks.workspace.journal import Journal
from tasks.workspace.paths import Workspace

FIT, EVALUATE = Stage("fit", "cap", "padim"), Stage("evaluate", "cap", "padim")
OTHER = [Stage("fit", "plate", "padim"), Stage("evaluate", "plate", "padim")]


class Terminal:
    def __init__(self):
        self.said, self.shown = [], []

    def say(self, text):
        self.said.append(text)

    def start(self, name):
        self.shown.append(name)

    def update(self, *_): ...
    def end(self, name, outcome):
        self.shown.append(f"{outcome.strip()} {name}")


class Server:
    """Answers with the statuses and states that a test sets."""

    def __init__(self):
        self.told, self.final, self.marked, self.sent = {}, set(), [], []
        self.states, self.workers = {}, 2

    def count(self):
        return self.workers

    def send(self, units):
        self.sent += units
        return [Batch(uuid.uuid4(), "copy", units)]

    def read_flow_runs(self, flow_run_filter, limit):
        return [
            SimpleNamespace(
                id=run,
                state_type=self.states.get(run, "RUNNING"),
                state=SimpleNamespace(is_final=lambda run=run: run in self.final),
            )
            for run in flow_run_filter.id.any_
        ]

    def mark(self, run, state):
        self.marked.append((run, state.type.value))


@pytest.fixture
def scene(monkeypatch, tmp_path):
    server = Server()
    monkeypatch.setattr(coordinator, "read_statuses", lambda client, runs: dict(server.told))
    taken = []
    monkeypatch.setattr(coordinator, "take_over", lambda cells, made: taken.extend(made) or [])
    plan = Plan(Workspace(tmp_path), None, ["cap", "plate"], [FIT, EVALUATE, *OTHER])
    line = Line(patience=0.0, workers=Workers())
    journal = Journal(plan.workspace, [str(stage) for stage in plan.stages])
    runner = SimpleNamespace(terminal=Terminal(), journal=journal)
    one = Dispatch(plan, line, runner, lambda product: None)
    one.client = server
    batch = Batch(uuid.uuid4(), "cap", group_units([FIT, EVALUATE]))
    one.active[batch.run] = batch
    return SimpleNamespace(one=one, server=server, batch=batch, taken=taken)


def tell(scene, **said):
    scene.server.told[scene.batch.run] = BatchStatus(worker="gpu1", **said)
    scene.one._look(scene.server)


def test_what_is_told_is_taken_once_and_an_ended_batch_is_given_up(scene):
    tell(scene, beat=1, running={"fit cap padim": ["learn 1/3", 0.3, {}]})
    assert scene.one.terminal.shown == ["fit cap padim"]
    tell(scene, beat=2, done={"fit cap padim": {}})
    tell(scene, beat=3, done={"fit cap padim": {}, "evaluate cap padim": {}}, ended=True)
    assert scene.taken == [FIT, EVALUATE]
    assert not scene.one.active and not scene.one.again and not scene.one.failures
    assert scene.server.marked == []
    stages = scene.one.journal.record["stages"]
    assert stages["fit cap padim"]["state"] == stages["evaluate cap padim"]["state"] == "done"


def test_a_silent_batch_is_lost_and_what_it_had_not_told_goes_on(scene):
    tell(scene, beat=1, done={"fit cap padim": {}})
    scene.batch.heard -= 59
    tell(scene, beat=1, done={"fit cap padim": {}})
    assert scene.one.active
    scene.batch.heard -= 2
    tell(scene, beat=1, done={"fit cap padim": {}})
    assert scene.one.again == [[EVALUATE]] and not scene.one.active
    assert scene.server.marked == [(scene.batch.run, "CRASHED")]
    assert any("gpu1 is lost" in text for text in scene.one.terminal.said)


def test_silence_does_not_count_while_the_server_was_away(scene):
    tell(scene, beat=1)
    scene.batch.heard -= 1000
    scene.one._looked = time.monotonic() - 1000
    tell(scene, beat=1)
    assert scene.one.active and not scene.server.marked


def test_a_run_that_ended_without_a_last_word_is_lost_at_once(scene):
    tell(scene, beat=1)
    scene.server.final.add(scene.batch.run)
    tell(scene, beat=1)
    assert scene.one.again == [[FIT, EVALUATE]]


def test_a_cell_is_tried_three_times_on_one_worker_after_the_other(scene):
    for attempt in range(3):
        scene.one.active = {scene.batch.run: scene.batch}
        scene.one.again = []
        tell(scene, beat=attempt, elsewhere={"fit cap padim": "the disk is full"}, ended=True)
    assert scene.one.failures == {"fit cap padim": "gpu1: the disk is full"}
    assert scene.one.again == []


def test_what_failed_by_itself_is_not_tried_again_nor_what_stands_behind_it(scene):
    tell(scene, beat=1, failed={"fit cap padim": "lr must be above 0"}, ended=True)
    assert scene.one.failures == {"fit cap padim": "lr must be above 0"}
    assert not scene.one.again and not scene.one.active


def test_a_damaged_result_is_made_again(scene, monkeypatch):
    def damaged(cells, made):
        raise DamagedError("an object is damaged")

    monkeypatch.setattr(coordinator, "take_over", damaged)
    done = {"fit cap padim": {}, "evaluate cap padim": {}}
    tell(scene, beat=1, done=done, ended=True)
    assert scene.one.again == [[FIT, EVALUATE]]
    assert any("damaged" in text for text in scene.one.terminal.said)


def test_an_input_that_changed_meanwhile_is_told(scene, monkeypatch):
    monkeypatch.setattr(coordinator, "take_over", lambda cells, made: list(made))
    tell(scene, beat=1, done={"fit cap padim": {}, "evaluate cap padim": {}}, ended=True)
    assert "changed while it ran" in scene.one.failures["fit cap padim"]
    assert not scene.one.again


def test_cells_of_what_is_learned_for_all_products_stay_together():
    shared = Stage("pretrain", algorithm="regad")
    cells = [Stage(step, p, "regad") for step in ("fit", "evaluate") for p in ("cap", "plate")]
    found = group_units([shared, *cells, FIT, EVALUATE])
    assert found == [[shared, *cells], [FIT, EVALUATE]]
    assert group_units(cells)[0] == [
        Stage("fit", "cap", "regad"),
        Stage("evaluate", "cap", "regad"),
    ]


def test_what_stands_behind_a_failure_is_left_out(tmp_path):
    (tmp_path / "params.yaml").write_text("{}")
    validate = [Stage("validate", "cap"), Stage("validate", "plate")]
    plan = Plan(Workspace(tmp_path), None, [], [*validate, FIT, *OTHER[:1], EVALUATE, OTHER[1]])
    assert plan.without({"validate cap"}) == [validate[1], *OTHER]


def test_a_batch_that_waits_for_a_node_is_given_the_time_of_its_pool(scene):
    for pool, seconds in (({}, 180), ({"type": "kubernetes"}, 900), ({"type": "docker"}, 900)):
        assert Workers(pool=pool).patience == seconds
    assert Workers(pool={"type": "ecs"}, starting=1800).patience == 1800
    scene.one.workers = Workers(pool={"type": "kubernetes"})
    scene.server.states[scene.batch.run] = "PENDING"
    scene.batch.heard -= 890
    scene.one._look(scene.server)
    assert scene.batch.run in scene.one.active and scene.batch.waits
    scene.batch.heard -= 11
    scene.one._look(scene.server)
    assert not scene.one.active and scene.server.marked == [(scene.batch.run, "CRASHED")]


def test_more_batches_than_a_server_answers_with_are_asked_for_in_parts(scene, monkeypatch):
    asked = []
    monkeypatch.setattr(
        coordinator, "read_statuses", lambda client, runs: asked.append(len(runs)) or {}
    )
    for _ in range(250):
        batch = Batch(uuid.uuid4(), "more", [OTHER])
        scene.one.active[batch.run] = batch
    scene.one._look(scene.server)
    assert max(asked) <= 100 and sum(asked) == len(scene.one.active) == 251


def hanging(scene, seconds=1000):
    """The batch began its fit so long ago; others took a minute."""
    scene.one.pace.learn([Stage("fit", "nut", "padim"), Stage("evaluate", "nut", "padim")], 60)
    tell(scene, beat=1, running={"fit cap padim": ["learn", 0.1, {}]})
    scene.batch.begun["fit cap padim"] -= seconds


def test_what_hangs_on_a_slow_worker_is_begun_by_a_free_one_and_the_first_result_counts(scene):
    hanging(scene)
    scene.one._race(scene.server)
    assert scene.server.sent == [[FIT, EVALUATE]] and len(scene.one.active) == 2
    scene.one._race(scene.server)  # once is enough
    assert len(scene.server.sent) == 1
    [copy] = [one for one in scene.one.active.values() if one is not scene.batch]
    both = {"fit cap padim": {}, "evaluate cap padim": {}}
    scene.server.told[copy.run] = BatchStatus(worker="gpu2", beat=1, done=both, ended=True)
    scene.one._look(scene.server)
    scene.one._race(scene.server)
    assert not scene.one.active and scene.server.marked == [(scene.batch.run, "CANCELLED")]
    assert scene.taken == [FIT, EVALUATE] and not scene.one.again and not scene.one.failures


def test_what_two_have_is_not_sent_again_when_one_of_them_is_lost(scene):
    hanging(scene)
    scene.one._race(scene.server)
    scene.server.final.add(scene.batch.run)
    scene.one._look(scene.server)
    assert scene.one.again == [] and len(scene.one.active) == 1


@pytest.mark.parametrize("case", ["nobody free", "something waits", "not long", "not known"])
def test_nothing_is_begun_twice_without_need(scene, case):
    hanging(scene, 100 if case == "not long" else 1000)
    scene.server.workers = 1 if case == "nobody free" else 2
    if case == "something waits":
        other = Batch(uuid.uuid4(), "other", [OTHER])
        scene.one.active[other.run] = other
        scene.server.workers = 3
    if case == "not known":
        scene.one.pace._known.clear()
    scene.one._race(scene.server)
    assert scene.server.sent == []
