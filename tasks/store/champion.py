"""Who is the champion of a product, and the only two ways to change it: promote and roll back.

The pointer holds everything that its record says. So if an interruption left the record out, the
next change writes it.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision
from tasks.documents.manifest import Manifest
from tasks.documents.stored import FORMAT
from tasks.store.base import Store
from tasks.store.release import check_whole, encode, now
from tasks.workspace.errors import ConflictError, DataError, MissingError, StoreError
from tasks.workspace.names import valid_name

DEPTH = 50  # earlier champions that one can go back to
log = logging.getLogger(__name__)


def champion(store: Store, product: str) -> Pointer | None:
    """Which release is the champion, since when and why; None before the first."""
    return _read(store, product)[0]


def champion_id(store: Store, product: str) -> str:
    """The release that inspects; StoreError where there is none."""
    current = champion(store, product)
    if current is None:
        raise StoreError(
            f"product '{product}' has no champion in the store {store.address}; "
            "promote a release first"
        )
    return current.release


def rolled_back(store: Store, product: str) -> dict[str, Pointer]:
    """Releases that somebody went back from and nobody promoted since, with that change."""
    found: dict[str, Pointer] = {}
    keys = [k for k in store.keys(f"records/{product}/") if "-promote-" in k or "-rollback-" in k]
    known = {key: store.get(key) for key in keys}
    changes = {
        key: Pointer.parse(body, f"'{key}' in the store {store.address}")
        for key, body in known.items()
        if body
    }
    if (current := champion(store, product)) is not None:
        changes[current.record] = current  # its record may follow later
    for change in in_order(changes, current.record if current else ""):
        found.pop(change.release, None)
        if change.instead_of is not None:
            found[change.instead_of] = change
    return found


class Linked(Protocol):
    """A change that names the one before it."""

    @property
    def after(self) -> str | None: ...


C = TypeVar("C", bound=Linked)


def in_order(changes: Mapping[str, C], last: str) -> list[C]:
    """Changes of a product by the key of their record, oldest first.

    Each names the one before it, so that the clocks of machines need not agree. Those that name
    none (of version 0.1), and those to which nothing leads, come first, by the time in their key.
    last: key of the latest change.
    """
    left = dict(changes)
    chain: list[C] = []
    key: str | None = last
    while key is not None and key in left:
        chain.append(left.pop(key))
        key = chain[-1].after
    return [left[key] for key in sorted(left)] + chain[::-1]


def promote(
    store: Store,
    product: str,
    release: str,
    *,
    reason: str,
    by: str,
    record: Decision | None = None,
    seen: str | None = None,
) -> Pointer:
    """The pointer after making a whole release the champion; unchanged where it was already.

    record: the decision behind it; another champion than the one that it compared with is a
    ConflictError.
    seen: the release that the caller took for the champion (empty: none); likewise.
    """
    manifest = check_whole(store, product, release)
    current, tag = _read(store, product)
    _check_seen(seen, current, product)
    if current is not None and current.release == release:
        _write_record(store, current)
        return current
    _check_decision(record, current, product)
    earlier = [current.release, *current.history] if current is not None else []
    pointer = _pointer("promote", manifest, current, earlier, reason, by)
    return _change(store, current, tag, pointer.model_copy(update={"decision": record}))


def rollback(
    store: Store, product: str, *, reason: str, by: str, seen: str | None = None
) -> Pointer:
    """The pointer after going back to the champion before; going back again goes further back.

    seen: as of `promote`.
    """
    current, tag = _read(store, product)
    _check_seen(seen, current, product)
    if current is None or not current.history:
        raise MissingError(
            f"product '{product}' has no earlier champion to go back to; promote a release instead"
        )
    earlier = current.history
    manifest = check_whole(store, product, earlier[0])
    pointer = _pointer("rollback", manifest, current, earlier[1:], reason, by)
    pointer = pointer.model_copy(update={"instead_of": current.release})
    return _change(store, current, tag, pointer)


def record(store: Store, product: str, kind: str, body: dict[str, Any]) -> str:
    """The key under which the body was added to the product's records, with kind and time."""
    body = {"kind": kind, "time": body.get("time") or now(), **body}
    key = _record_key(product, kind, str(body["time"]), body)
    store.put(key, encode(body))
    return key


def _read(store: Store, product: str) -> tuple[Pointer | None, str | None]:
    key = _champion_key(product)
    found = store.get_with_tag(key)
    if found is None:
        return None, None
    return Pointer.parse(found[0], f"'{key}' in the store {store.address}"), found[1]


def _pointer(
    kind: str,
    manifest: Manifest,
    current: Pointer | None,
    earlier: list[str],
    reason: str,
    by: str,
) -> Pointer:
    pointer = Pointer(
        format=FORMAT,
        kind=kind,
        product=manifest.product,
        release=manifest.release,
        algorithm=manifest.algorithm,
        since=now(),
        by=by,
        reason=reason,
        previous=earlier[0] if earlier else None,
        history=earlier[:DEPTH],
        after=current.record if current is not None else None,
        record="",
    )
    key = _record_key(pointer.product, kind, pointer.since, pointer.dump())
    return pointer.model_copy(update={"record": key})


def _change(store: Store, current: Pointer | None, tag: str | None, pointer: Pointer) -> Pointer:
    """Write the pointer if nobody was quicker, then its record."""
    product = pointer.product
    if current is not None:
        _write_record(store, current)
    try:
        store.put_if(_champion_key(product), encode(pointer.dump()), tag)
    except ConflictError as error:
        raise _lost(product, champion(store, product)) from error
    try:
        _write_record(store, pointer)
    except StoreError as error:  # the change is made: failing now would invite a second one
        log.warning("the record of %s follows with the next change: %s", product, error)
    return pointer


def _lost(product: str, winner: Pointer | None) -> ConflictError:
    if winner is None:
        return ConflictError(f"somebody removed the champion of '{product}' meanwhile; look first")
    return ConflictError(
        f"the champion of '{product}' is meanwhile release {winner.release} "
        f"({winner.algorithm}), by {winner.by} since {winner.since}; "
        "compare with it before trying again"
    )


def _check_seen(seen: str | None, current: Pointer | None, product: str) -> None:
    """Refuse a change by somebody who looked at another champion than the present one."""
    if seen is not None and seen != (current.release if current is not None else ""):
        raise _lost(product, current)


def _check_decision(decision: Decision | None, current: Pointer | None, product: str) -> None:
    """Refuse a decision that was made against another champion than the present one."""
    if decision is None:
        return
    compared = decision.champion.release if decision.champion else None
    if compared != (current.release if current is not None else None):
        raise _lost(product, current)


def _write_record(store: Store, pointer: Pointer) -> None:
    store.put(pointer.record, encode({"time": pointer.since, **pointer.dump()}))


def _record_key(product: str, kind: str, time: str, body: dict[str, Any]) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", kind):
        raise DataError(f"'{kind}' is no kind of record; use lower-case letters, digits and -")
    # no colons: they are not allowed in file names everywhere
    stamp = re.sub(r"[^0-9T.]", "", time.partition("+")[0])
    short = hashlib.sha256(encode(body)).hexdigest()[:8]
    return f"records/{valid_name(product)}/{stamp}Z-{kind}-{short}.json"


def _champion_key(product: str) -> str:
    return f"champions/{valid_name(product)}.json"
