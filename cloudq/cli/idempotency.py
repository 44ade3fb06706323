"""`cloudq idempotency show` and `forget`."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Final

from cloudq.cli.choosing import Chosen
from cloudq.cli.choosing_store import ChosenStore, StoreOption, one_store
from cloudq.cli.failures import FAILED
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Yes
from cloudq.cli.output import confirm_or_exit, details, note, refuse, without_nothing, write, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.core.store import ClaimKey, Forgotten, Record
from cloudq.errors import nearest

SHOW_EXAMPLES: Final = (
    "cloudq idempotency show order-42 --task shop.charge",
    "cloudq idempotency show order-42 --task shop.charge --store redis://cache/0?prefix=prod --json",
)
FORGET_EXAMPLES: Final = (
    "cloudq idempotency forget order-42 --task shop.charge",
    "cloudq idempotency forget order-42 --task shop.charge --force --yes",
)

Key = Annotated[str, Argument(metavar="KEY", help="The idempotency key.", show_default=False)]
TaskName = Annotated[str, Option("--task", metavar="NAME", help="The name of the task whose key it is.")]


def show(
    key: Key,
    *,
    task: TaskName,
    store: StoreOption = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show what the store has of an idempotency key. Exit code 1: nothing.

    It is in progress (and whose claim it is), lapsed (its owner died: the next delivery takes it over), released (it
    failed, and may be tried again), or completed.
    """
    with one_store(store, app, backend) as chosen:
        note_unknown(chosen.chosen, task)
        record = chosen.store.show(ClaimKey(task, key))
    about = {"task": task, "key": key, "namespace": chosen.namespace, "store": chosen.where}
    if json:
        write_json({**about, "state": None} if record is None else {**about, **_as_json(record)})
    elif record is None:
        note(f"nothing is kept of key {key!r} of task {task!r} in {chosen.where}, namespace {chosen.namespace!r}")
    else:
        details([*about.items(), *_as_json(record).items()])
    if record is None:
        raise SystemExit(FAILED)


def forget(
    key: Key,
    *,
    task: TaskName,
    force: Annotated[
        bool, Option("--force", help="Also while its claim holds: its owner may be at work, and a second one will be.")
    ] = False,
    yes: Yes = False,
    store: StoreOption = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Remove what the store has of an idempotency key, so that its work can be done again.

    With --app, what is kept under the task's aliases goes too. Exit code 1: nothing was there, or its claim holds and
    --force isn't given.
    """
    with one_store(store, app, backend) as chosen:
        note_unknown(chosen.chosen, task)
        question = f"Forget key {key!r} of task {task!r} in {chosen.where}, so that its work can be done again?"
        confirm_or_exit(question, yes=yes)
        did = {name: chosen.store.forget(ClaimKey(name, key), force=force) for name in _names(chosen.chosen, task)}
    for name, outcome in did.items():
        _say(chosen, key, name, outcome, json=json)
    if Forgotten.STILL_RUNNING in did.values() or Forgotten.REMOVED not in did.values():
        raise SystemExit(FAILED)


def note_unknown(chosen: Chosen, task: str) -> None:
    """Says so if the App has no such task: its name is part of a key."""
    known = chosen.app.tasks
    if chosen.spec is not None and task not in known:
        note(f"note: {chosen.spec} has no task {task!r}: {nearest(task, known)}")


def _names(chosen: Chosen, task: str) -> Iterator[str]:
    """The names under which a worker claims the key: a task's aliases are claimed with it."""
    yield task
    definition = chosen.app.runtime.handlers.get(task)
    if definition is not None:
        yield from (name for name in (definition.name, *definition.aliases) if name != task)


def _say(chosen: ChosenStore, key: str, task: str, did: Forgotten, *, json: bool) -> None:
    if json:
        write_json(
            {"task": task, "key": key, "namespace": chosen.namespace, "store": chosen.where, "forgotten": did.value}
        )
    elif did is Forgotten.REMOVED:
        write(f"forgot key {key!r} of task {task!r}")
    elif did is Forgotten.STILL_RUNNING:
        refuse(
            f"key {key!r} of task {task!r} is being worked on: nothing was changed",
            "wait until its claim is over (cloudq idempotency show), or --force, and its work may be done twice",
        )
    else:
        note(f"nothing is kept of key {key!r} of task {task!r} in {chosen.where}, namespace {chosen.namespace!r}")


def _as_json(record: Record) -> Mapping[str, object]:
    return without_nothing(
        {
            "state": record.state.value,
            "token": record.token,
            "owner": record.owner or None,
            "until": _moment(record.until),
            "completed_at": _moment(record.at),
            "kept_until": _moment(record.keep_until),
            "fingerprint": None if record.fingerprint is None else record.fingerprint.hex(),
            "result_base64": None if record.result is None else base64.b64encode(record.result).decode(),
        }
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
