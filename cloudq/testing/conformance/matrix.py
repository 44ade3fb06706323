"""The capability matrix of `docs/reference/backends.md`, made from the drivers themselves.

What is native and what goes by a copy is asked of the real `plan()`, so the table can't say what the code doesn't do.

    python -m cloudq.testing.conformance.matrix --check docs/reference/backends.md
    python -m cloudq.testing.conformance.matrix --write docs/reference/backends.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cloudq.core import wire
from cloudq.core.clock import EPOCH
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Cancels, Capabilities
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome, Retried, Snoozed
from cloudq.core.plan import plan
from cloudq.drivers.memory import MemoryDriver

BEGIN: Final = "<!-- matrix:begin -->"
END: Final = "<!-- matrix:end -->"

# Longer than any backend's limit, and so what these drivers call "any".
ANY: Final = timedelta(days=3650)


def backends() -> Mapping[str, Capabilities]:
    """Each backend's kinds of queue, by the head of its column."""
    columns: dict[str, Capabilities] = {}
    with closing(MemoryDriver()) as memory:
        columns |= _columns("memory", memory.capabilities)
    from cloudq.drivers.sqlite import SQLiteDriver

    with tempfile.TemporaryDirectory() as folder, closing(SQLiteDriver(Path(folder) / "matrix.db")) as sqlite:
        columns |= _columns("SQLite", sqlite.capabilities)
    from cloudq.drivers.cloud_tasks.limits import capabilities as cloud_tasks
    from cloudq.drivers.sqs.limits import capabilities as sqs

    columns |= _columns("Amazon SQS", sqs)
    columns["Google Cloud Tasks"] = cloud_tasks("orders")  # of no other kind: `.fifo` is refused
    from cloudq.drivers.service_bus import limits as service_bus

    of_bus = partial(service_bus.capabilities, max_message=service_bus.MAX_MESSAGE, dedup_window=None)
    columns |= _columns("Azure Service Bus", of_bus)
    return columns


def table(columns: Mapping[str, Capabilities]) -> str:
    """The matrix as a Markdown table: a row a capability, a column a kind of queue."""
    rows = [["", *columns]]
    rows += [[title, *(cell(capabilities) for capabilities in columns.values())] for title, cell in ROWS]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def updated(page: str, matrix: str) -> str:
    """The page with the matrix between its markers.

    Raises:
        ValueError: The markers aren't there, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"the page needs one {BEGIN} and, after it, one {END}")
    return f"{before}{BEGIN}\n\n{matrix}\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks or writes a page. Returns 0 if it is current now, 1 if it isn't."""
    parser = argparse.ArgumentParser(prog="python -m cloudq.testing.conformance.matrix", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="exit with 1 if the page isn't current")
    action.add_argument("--write", action="store_true", help="make the page current")
    parser.add_argument("page", type=Path, help="the Markdown page with the two markers")
    given = parser.parse_args(arguments)
    page = given.page.read_text(encoding="utf-8")
    try:
        current = updated(page, table(backends()))
    except ValueError as error:
        sys.stderr.write(f"{given.page}: {error}\n")
        return 1
    if page == current:
        return 0
    if given.check:
        sys.stderr.write(f"{given.page}: the capability matrix isn't current; run this with --write\n")
        return 1
    given.page.write_text(current, encoding="utf-8")
    return 0


def _columns(name: str, capabilities: Callable[[str], Capabilities]) -> Iterator[tuple[str, Capabilities]]:
    yield name, capabilities("orders")
    yield f"{name}, `.fifo`", capabilities("orders.fifo")


# ── the cells ────────────────────────────────────────────────────────────────────────────────────────────


def _way(outcome: Outcome) -> Callable[[Capabilities], str]:
    """Whether the outcome is carried out natively or by a copy."""

    def cell(capabilities: Capabilities) -> str:
        return "by a copy" if plan(_sample(capabilities), outcome, capabilities, EPOCH).copies else "native"

    return cell


def _retry(capabilities: Capabilities) -> str:
    limit = capabilities.native_retry_delay
    at_once = _way(Retried(delay=timedelta(0), reason=""))(capabilities)
    beyond = _way(Retried(delay=timedelta(0) if limit is None else min(limit, ANY) + timedelta(hours=1), reason=""))
    if at_once == beyond(capabilities) or limit is None or limit >= ANY:
        return at_once
    if not limit:
        return f"{at_once} at once, later {beyond(capabilities)}"
    return f"{at_once} up to {_length(limit)}, beyond {beyond(capabilities)}"


def _delay(capabilities: Capabilities) -> str:
    if capabilities.ordering:
        return "refused"
    if capabilities.max_delay is None or capabilities.max_delay >= ANY:
        return "native"
    return f"native up to {_length(capabilities.max_delay)}, beyond in hops"


def _cancel(capabilities: Capabilities) -> str:
    if capabilities.cancels is Cancels.NOTHING:
        return "refused"
    if capabilities.cancels is Cancels.WAITING:
        return "what no worker has received"
    notice = capabilities.cancel_notice
    return "what is delayed" + (f", until {_length(notice)} before its time" if notice else "")


def _sample(capabilities: Capabilities) -> Delivery:
    key = "customer-1" if capabilities.ordering else None
    message = Message(id="1", task="sample", queue="orders", ordering_key=key)
    return Delivery.of(
        wire.encode(message),
        native_id="1",
        runs=1,
        deliveries=1,
        lease=Lease(queue="orders", receipt=None, expires_at=EPOCH + timedelta(minutes=2), ends=timedelta(minutes=2)),
        group=key,
    )


def _length(length: timedelta) -> str:
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if length >= unit and not length % unit:
            return f"{length // unit} {name}"
    return f"{length.total_seconds():g} s"


def _size(size: int) -> str:
    if size % (1024 * 1024) == 0:
        return f"{size // (1024 * 1024)} MiB"
    return f"{size // 1024:,} KiB" if size % 1024 == 0 else f"{size:,} B"


def _receive(has: Capabilities) -> str:
    if has.max_receive is None:
        return "any"
    return f"{has.max_receive:,}" if has.ordering else f"{has.max_receive:,}, several receives at once"


def _or_any(length: timedelta | None) -> str:
    return "any" if length is None or length >= ANY else _length(length)


_FAILURE: Final = Failure(reason="")

ROWS: Final[Sequence[tuple[str, Callable[[Capabilities], str]]]] = (
    ("largest message", lambda has: _size(has.max_body)),
    ("messages a call", lambda has: f"{has.max_batch:,}"),
    ("messages a receive", _receive),
    (
        "bytes a call",
        lambda has: "any" if has.max_batch_bytes is None else _size(has.max_batch_bytes),
    ),
    ("`delay`, `at`", _delay),
    ("retry", _retry),
    ("retry that uses no attempt", _way(Snoozed(delay=timedelta(0), reason=""))),
    ("dead letter", _way(DeadLettered(reason="", failure=_FAILURE))),
    ("longest lease, extensions included", lambda has: _or_any(has.max_lease)),
    ("extending a lease", lambda has: "native" if has.extendable else "refused"),
    ("`ordering_key`", lambda has: "native, required" if has.ordering else "refused"),
    ("`fairness_key`", lambda has: "native" if has.fairness else "no effect"),
    (
        "`idempotency_key`: not stored twice within",
        lambda has: "no window" if has.deduplication is None else _length(has.deduplication),
    ),
    ("`attempt` counts", lambda has: "runs" if has.attempt_exact else "deliveries: at least the runs"),
    ("`cancel`", _cancel),
    ("of two redrives at once", lambda has: "one takes it" if has.dead_letter_leases else "one copy is stored"),
    (
        "a late settlement",
        lambda has: "reported, changes nothing" if has.fenced_settle else "reported; a late ack may still delete",
    ),
    ("one call takes at most", lambda has: _length(has.call_timeout)),
    ("seen by other processes", lambda has: "yes" if has.shared else "no"),
    ("a receive under way", lambda has: "can be ended" if has.interruptible else "is waited for"),
)

if __name__ == "__main__":
    sys.exit(main())
