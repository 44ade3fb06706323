"""How a sample is shown: rows that a terminal draws as tables and a pipe gets as lines; or objects for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cloudq.cli.outbox.commands import age
from cloudq.cli.output import shown
from cloudq.cli.top.rates import Rates
from cloudq.cli.top.sample import QueueNow, Sample
from cloudq.cli.top.workers import WorkerNow
from cloudq.core.printable import TEXT_CHARS, in_a_line, shortened

if TYPE_CHECKING:
    from rich.console import RenderableType


class Section(NamedTuple):
    """A table.

    Attributes:
        columns: Its heading.
        rows: Its cells.
        note: What there is to say besides; empty for nothing.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


def sections(sample: Sample, rates: Rates) -> Iterator[Section]:
    """What is shown of a sample."""
    rows = [_queue_row(queue, rates) for queue in sample.queues]
    yield Section(("queue", "ready", "delayed", "in flight", "dead", "oldest", "growth/s", ""), rows)
    if sample.workers:
        rows = [_worker_row(worker, rates) for worker in sample.workers]
        yield Section(("worker", "", "running", "waiting", "settling", "ended/s", "failed/s", ""), rows)
    if sample.dead or sample.unread:
        note = "" if not sample.unread else (
            f"not read, as a look would hide them from others for a while: {', '.join(sample.unread)}; cloudq dlq list"
        )  # fmt: skip
        yield Section(
            ("dead", "task", "error", "queue"),
            [(one.count, one.task or "undecodable", _cut(one.error), one.queue) for one in sample.dead],
            note,
        )


def as_json(sample: Sample) -> Iterator[dict[str, object]]:
    """The same as objects: one a queue, a worker, and a kind of dead letter."""
    for queue in sample.queues:
        stats = queue.stats
        yield {
            "queue": queue.name,
            "ready": stats and stats.ready,
            "delayed": stats and stats.delayed,
            "in_flight": stats and stats.in_flight,
            "dead": stats and stats.dead,
            "oldest_age_seconds": stats and stats.oldest_age and stats.oldest_age.total_seconds(),
            "error": queue.error and queue.error.code,
        }
    for worker in sample.workers:
        yield {
            "worker": worker.address,
            "ready": worker.ready,
            "problems": worker.problems,
            "unreachable": worker.unreachable,
            "queues": worker.queues,
            "counts": worker.counts,
        }
    for one in sample.dead:
        yield {"dead_letters_of": one.queue, "task": one.task or None, "error": one.error, "count": one.count}


def drawn(heading: str, shown_sections: Sequence[Section]) -> RenderableType:
    """The tables under a heading, for a terminal."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(in_a_line(heading), style="bold")]
    for section in shown_sections:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for name in section.columns:
            table.add_column(name, overflow="fold")
        for row in section.rows:
            table.add_row(*(Text(in_a_line(shown(cell))) for cell in row))
        parts.append(table)
        if section.note:
            parts.append(Text(in_a_line(section.note), style="dim"))
    return Group(*parts)


def _queue_row(queue: QueueNow, rates: Rates) -> Sequence[object]:
    if queue.stats is None:
        trouble = "" if queue.error is None else _cut(f"{type(queue.error).__name__}: {queue.error.message}")
        return (queue.name, None, None, None, None, None, None, trouble)
    stats = queue.stats
    return (
        queue.name,
        stats.ready,
        stats.delayed,
        stats.in_flight,
        stats.dead,
        age(stats.oldest_age),
        _rate(rates.growth(queue.name), signed=True),
        "",
    )


def _worker_row(worker: WorkerNow, rates: Rates) -> Sequence[object]:
    if worker.unreachable is not None:
        return (worker.address, "unreachable", None, None, None, None, None, _cut(worker.unreachable))
    counts = worker.counts
    return (
        worker.address,
        "ready" if worker.ready else "not ready",
        counts.get("running"),
        counts.get("waiting"),
        counts.get("settling"),
        _rate(rates.ended(worker.address)),
        _rate(rates.failed(worker.address)),
        _cut("; ".join([*worker.problems, *_held_back(worker)])),
    )


def _held_back(worker: WorkerNow) -> list[str]:
    """The queues that it leaves alone though nothing is wrong with them."""
    return [f"queue {queue}: {state}" for queue, state in worker.queues.items() if state == "paused"]


def _rate(rate: float | None, *, signed: bool = False) -> str | None:
    return None if rate is None else f"{rate:{'+' if signed else ''}.1f}"


def _cut(text: str) -> str:
    return shortened(text, TEXT_CHARS)
