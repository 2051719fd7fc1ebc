"""At most one coordinator for a product among all clones of the workspace.

A claim is a ref in the git remote: git accepts only one of two pushes that create or move it. Its
owner moves it every BEAT seconds. If another run watches it for SILENCE seconds and it does not
move, its owner is dead and the claim is taken over. No clocks are compared.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tasks.clones.snapshot import IDENTITY, REFS
from tasks.workspace import clock
from tasks.workspace.errors import BusyError, LineError, WorkspaceError
from tasks.workspace.git import git
from tasks.workspace.paths import Workspace

BEAT = 30.0  # seconds between signs of life
SILENCE = 100.0  # seconds without one
LOOK = 2.0  # seconds between two checks
EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the empty tree of git


@contextmanager
def claim_products(
    workspace: Workspace, remote: str, products: list[str], say: Callable[[str], None]
) -> Iterator[None]:
    """Hold the products for this run; BusyError if another live run holds one."""
    claim = Claim(workspace, remote, products)
    claim.take(say)
    over = threading.Event()
    keeper = threading.Thread(target=claim.keep, args=(over, say), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        claim.release()


class Claim:
    """Refs of some products, and the commits that this run gave them."""

    def __init__(self, workspace: Workspace, remote: str, products: list[str]) -> None:
        self.root, self.remote = workspace.root, remote
        self.refs = [f"{REFS}/claims/{product}" for product in products]
        self.held: dict[str, str] = {}  # commit of each ref

    def take(self, say: Callable[[str], None]) -> None:
        """Claim all refs; refs that exist are first watched for SILENCE seconds."""
        git(self.root, "hash-object", "-t", "tree", "-w", os.devnull)
        found = self._present()
        self._move(self._watch(found, say) if found else {})

    def _watch(self, found: dict[str, str], say: Callable[[str], None]) -> dict[str, str]:
        """Refs that may be taken over; BusyError if one of them moves."""
        holder = self._holder(found)
        say(f"{holder}; watching it for {SILENCE:g} s for a sign of life")
        until = time.monotonic() + SILENCE
        while time.monotonic() < until:
            time.sleep(LOOK)
            now = self._present()
            if any(found.get(ref) != commit for ref, commit in now.items()):
                raise BusyError(f"{holder}, and it is alive; wait for it to end, or stop it")
            if not now:
                return {}
        return found

    def keep(self, over: threading.Event, say: Callable[[str], None]) -> None:
        while not over.wait(BEAT):
            try:
                self.keep_up()
            except BusyError as error:
                say(f"{error}; this run continues; its results are checked before they are used")
                return
            except LineError:  # the git remote is not available: try again later
                continue

    def keep_up(self) -> None:
        """Give a sign of life; BusyError if another run has taken over the products."""
        self._move(self.held)

    def release(self) -> None:
        words = [f"--force-with-lease={ref}:{old}" for ref, old in self.held.items()]
        try:
            git(self.root, "push", "-q", *words, self.remote, *(f":{ref}" for ref in self.held))
        except LineError:
            return  # the claim expires

    def _present(self) -> dict[str, str]:
        """The commit of each ref that exists."""
        lines = git(self.root, "ls-remote", self.remote, *self.refs).splitlines()
        return {ref: commit for commit, ref in (line.split("\t") for line in lines)}

    def _move(self, old: dict[str, str]) -> None:
        """Move all refs from their old commits to a new commit, or none of them."""
        # every commit must be different, otherwise one of two pushes would have nothing to do
        who = {"host": socket.gethostname(), "process": os.getpid(), "id": uuid.uuid4().hex}
        text = json.dumps({**who, "time": clock.now()})
        commit = git(self.root, "commit-tree", EMPTY, "-m", text, **IDENTITY)
        leases = [f"--force-with-lease={ref}:{old.get(ref, '')}" for ref in self.refs]
        moves = [f"{commit}:{ref}" for ref in self.refs]
        try:
            git(self.root, "push", "--quiet", "--atomic", *leases, self.remote, *moves)
        except WorkspaceError as error:
            if "stale info" in str(error) or "rejected" in str(error):
                raise BusyError(f"another run has just claimed the same: {error}") from error
            raise
        self.held = dict.fromkeys(self.refs, commit)

    def _holder(self, found: dict[str, str]) -> str:
        """Who holds the first of these refs."""
        ref, commit = next(iter(found.items()))
        git(self.root, "fetch", "--quiet", "--no-tags", self.remote, ref)
        owner: dict[str, Any] = json.loads(git(self.root, "log", "-1", "--format=%B", commit))
        product = ref.removeprefix(f"{REFS}/claims/")
        where = f"on {owner['host']}, process {owner['process']}"
        return f"{product} is held by a run {where}, last sign of life at {owner['time']}"
