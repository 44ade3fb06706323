"""What a worker, or a relay, says on stderr before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

import cloudq
from cloudq.app import App
from cloudq.cli.choosing import Chosen
from cloudq.cli.output import complain, note
from cloudq.core.details import worker_name
from cloudq.core.printable import printable_json
from cloudq.core.store_url import parse_store_url
from cloudq.core.url import parse_url
from cloudq.errors import nearest
from cloudq.queues.store_connection import NATIVE_ONLY
from cloudq.queues.urls import parse_claim_check


def show_banner(
    chosen: Chosen,
    lines: Mapping[str, str],
    fields: Mapping[str, object],
    *,
    as_json: bool,
    what: Literal["worker", "relay"] = "worker",
) -> None:
    """Says which version works for which app on which backend.

    Args:
        chosen: The app.
        lines: What else is said, by heading, in this order.
        fields: What else is said as JSON.
        as_json: Whether all is said in one JSON object, like the log lines that follow.
        what: What starts.
    """
    backend = str(parse_url(chosen.app.url))
    store = (
        None
        if chosen.app.runtime.claim_check_url is None
        else str(parse_claim_check(chosen.app.runtime.claim_check_url))
    )
    keys = _store_of_keys(chosen.app)
    if as_json:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "logger": f"cloudq.{what}",
            "message": f"cloudq {what} starts",
            "version": cloudq.__version__,
            "worker": worker_name(),
            "backend": backend,
            "claim_check": store,
            "store": keys,
            "backend_from": chosen.backend_from,
            "app": chosen.spec,
            "app_from": chosen.how,
            "tasks": sorted(chosen.app.tasks),
            **fields,
        }
        complain(printable_json(msgspec.json.encode(line)).decode())
        return
    note(f"cloudq {cloudq.__version__}, {what} {worker_name()}")
    shown = {"backend": f"{backend}, from {chosen.backend_from}"}
    if chosen.spec is not None:
        shown["app"] = f"{chosen.spec}, from {chosen.how}"
    shown |= lines
    if store is not None:
        shown["payloads"] = f"too large for their queue: {store}"
    if keys is not None:
        shown["keys"] = "left to the backend" if keys == NATIVE_ONLY else f"claimed in {keys}"
    note(*(f"  {name:<8} {value}" for name, value in shown.items()))


def _store_of_keys(app: App) -> str | None:
    """Where idempotency keys are claimed, or `none`; `None` where nobody chose a store, nor declares a key."""
    stores = app.runtime.stores
    url = stores.url if stores.chosen is not None or app.runtime.keyed_tasks() else None
    return url if url is None or url == NATIVE_ONLY else str(parse_store_url(url))


def note_undeclared(chosen: Chosen, queues: Iterable[str]) -> None:
    """Notes queues that no task declares: a name may be mistyped."""
    declared = chosen.app.runtime.declared_queues()
    for name in queues:
        if name not in declared:
            note(f"note: no task declares queue {name!r}: {nearest(name, declared)}")
