"""Rename or remove a product without losing an image, a model or a release."""

import os
import shutil
from datetime import datetime
from typing import Any

import yaml

from tasks.build.graph import check_product, sync
from tasks.documents.manifest import MANIFEST
from tasks.spec.read import read_params
from tasks.spec.schema import TRAIN_ON
from tasks.store.champion import champion, promote
from tasks.store.fetch_release import fetch
from tasks.store.golden import golden_key
from tasks.store.opening import store_of
from tasks.store.release import read_manifest
from tasks.store.releases import pictures_key, publish, releases
from tasks.store.seal import SIGNATURE
from tasks.workspace.errors import LineError, SpecError
from tasks.workspace.files import write_text
from tasks.workspace.git import operator
from tasks.workspace.lock import run_lock
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder

UNSHARED = shutil.ignore_patterns(MANIFEST, SIGNATURE)  # of a release: they are made again
KEPT = ("validate", "fit")  # steps whose results do not contain the product's name


def rename_product(workspace: Workspace, old: str, name: str) -> list[str]:
    """Rename a product; sentences on what was done. After an interruption the same command
    continues."""
    check_product_name(name)
    workspace.require(old)
    if name in workspace.products or workspace.product(name).exists():
        raise LineError(f"there is a product {name} already; choose another name")
    check_not_in_train_on(workspace, old)
    with run_lock(workspace):
        check_product(workspace, old)  # before anything is moved
        copied = copy_releases(workspace, old, name)
        workspace.product(old).rename(workspace.product(name))
        rename_in_lock(workspace, old, name)
        sync(workspace)
    done = [f"{old} is now {name}; the next run evaluates its cells again without training"]
    if copied:
        stay = f"those of {old} stay in the store as they are"
        done.append(f"{copied} releases and the champion now have the new name too; {stay}")
    return done


def remove_product(workspace: Workspace, product: str) -> list[str]:
    """Remove a product; sentences on what was done."""
    workspace.require(product)
    check_not_in_train_on(workspace, product)
    with run_lock(workspace):
        aside = workspace.scratch / "removed" / f"{product}-{datetime.now():%Y%m%d-%H%M%S}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        workspace.product(product).rename(aside)
        sync(workspace)
    back = os.path.relpath(workspace.product(product), workspace.root)
    return [
        f"{product} is not a product any more; its releases stay in the store, and `predict` works",
        f"its files are in {aside.relative_to(workspace.root)}; to restore it, move them to {back}",
    ]


def check_not_in_train_on(workspace: Workspace, product: str) -> None:
    """SpecError if params.yaml names the product in train_on."""
    for algorithm, parameters in read_params(workspace.root).algorithms.items():
        if product in ((parameters or {}).get(TRAIN_ON) or ()):
            raise SpecError(
                f"{algorithm} learns from {product}: params.yaml names it in "
                f"algorithms.{algorithm}.{TRAIN_ON}; change that first"
            )


def copy_releases(workspace: Workspace, old: str, name: str) -> int:
    """Copy the releases, champion and history to the new name; number of releases."""
    store = store_of(workspace)
    current = champion(store, old)
    found = [one.id for one in releases(store, old)]
    for release in found:
        about = read_manifest(store, old, release).about.model_copy(update={"renamed_from": old})
        folder = fetch(store, old, release, workspace.scratch / "releases")
        with scratch_folder(workspace) as temporary:
            files = shutil.copytree(folder, temporary / name, ignore=UNSHARED)
            publish(files, name, store, about)
        for key in (pictures_key, golden_key):
            if archive := store.get(key(old, release)):
                store.put(key(name, release), archive)
    order = [*reversed(current.history), current.release] if current else []
    for release in order:
        promote(store, name, release, reason=f"renamed from {old}", by=operator())
    return len(found)


def rename_in_lock(workspace: Workspace, old: str, name: str) -> None:
    """Write the new command into DVC's lock for stages that do not depend on the name."""
    path = workspace.product(name) / "dvc.lock"
    if not path.is_file():
        return
    lock: dict[str, Any] = yaml.safe_load(path.read_text())
    for stage, record in (lock.get("stages") or {}).items():
        step = stage.partition("-")[0]
        if step in KEPT:
            record["cmd"] = record["cmd"].replace(f"tasks.{step} {old}", f"tasks.{step} {name}")
    write_text(path, yaml.safe_dump(lock, sort_keys=False))
