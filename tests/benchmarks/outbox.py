"""The outbox's relay: cloudq beside txoutbox and faststream-outbox, on one PostgreSQL, in one run.

Each side has its own table, filled before its watch starts; its publisher does nothing. The watch ends when every
message is marked and committed. At defaults, and with batches of as many messages; without keys, and with a hundred of
them. faststream-outbox has no keys: its messages are the same in both, and have no order. Then how soon an idle relay
publishes what is committed, told by NOTIFY.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.benchmarks.environments import HERE, OUTBOX_PEERS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import folder, run
from tests.benchmarks.report import present, table
from tests.servers.databases import PostgreSQL

MESSAGES: Final = 10_000
SLOW_MESSAGES: Final = 2_000
LATENCY_MESSAGES: Final = 200
BATCH: Final = 100


class Side(NamedTuple):
    """A library.

    Attributes:
        module: Of its programs.
        packages: What of it has versions worth printing.
        python: The environment it runs in.
        messages: How many it is given.
        batches: The batches that it is measured with; 0 for its default.
        more: Further arguments of its relay.
        listens: Whether its latency is measured.
    """

    module: str
    packages: tuple[str, ...]
    python: Path = OUTBOX_PEERS
    messages: int = MESSAGES
    batches: tuple[int, ...] = (0, BATCH)
    more: tuple[int, ...] = ()
    listens: bool = True


SIDES: Final = {
    "cloudq": Side("outbox_cloudq", ("cloudq", "SQLAlchemy", "psycopg"), HERE),
    "txoutbox": Side("outbox_txoutbox", ("txoutbox", "asyncpg")),
    "faststream-outbox": Side("outbox_faststream", ("faststream-outbox", "faststream"), messages=SLOW_MESSAGES),
    # Its own default marks each message by itself, whatever the batch.
    "faststream-outbox, marks in batches": Side(
        "outbox_faststream", ("faststream-outbox",), messages=SLOW_MESSAGES, batches=(BATCH,), more=(1,), listens=False
    ),
}
RATIOS: Final = {f"cloudq / {name}": ("cloudq", name) for name in SIDES if name != "cloudq"}


def measured(side: Side, extent: Extent) -> dict[str, float]:
    """All figures of one side, once."""
    figures: dict[str, float] = {}
    messages = extent.tasks(side.messages)
    for keyed in (False, True):
        for batch in side.batches:
            what = f"{'keyed' if keyed else 'unkeyed'}, {f'batches of {batch}' if batch else 'defaults'}"
            with folder() as path:
                numbers = (messages, int(keyed), batch, *side.more)
                ran = run(side.module, "relay", *numbers, folder=path, python=side.python)
            figures[f"{what}: messages /s"] = ran["per_second"]
            figures[f"{what}: CPU s/1,000"] = ran["cpu_per_1000"]
    if side.listens:
        with folder() as path:
            idle = run(side.module, "idle", extent.tasks(LATENCY_MESSAGES), folder=path, python=side.python)
        figures["idle to published, p50 ms"] = idle["p50_ms"]
        figures["idle to published, p95 ms"] = idle["p95_ms"]
    return figures


def main(extent: Extent) -> None:
    """Measures the sides in turn, several times, and prints the medians."""
    console = Console(width=150)
    server = PostgreSQL(fsync="on", full_page_writes="on")
    try:
        os.environ["BENCH_POSTGRESQL"] = server.url
        console.print(f"[bold]Outbox[/] on PostgreSQL with fsync; {machine()}; medians of {extent.repeats} in turn")
        sides = present(SIDES, console)
        runs: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(extent.repeats):
            for name, side in sides.items():
                runs[name].append(measured(side, extent))
        console.print(table(runs, {name: pair for name, pair in RATIOS.items() if pair[1] in sides}))
        console.print(f"load at the end {os.getloadavg()[0]:.1f}")
    finally:
        server.close()


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
