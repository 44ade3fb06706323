"""What a claim and its completion cost, store by store; on DynamoDB beside two raw calls and AWS Powertools.

Each measurement is a process of its own, and so is each server; the sides in turn. A key is new each time, as nearly
all are. PostgreSQL, MariaDB and SQLite have each commit on the disk; Redis keeps nothing there. DynamoDB is a stand-in
that says yes to every write, so its times are the client's alone. Round trips are counted by a proxy before the server,
in a run of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from rich.console import Console

from cloudq.stores.opening import migrate_store
from tests.benchmarks.environments import HERE, PEERS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import ROOT, child, folder, ready, result
from tests.benchmarks.report import present, table
from tests.benchmarks.round_trips import RoundTrips
from tests.servers import databases

TASKS: Final = 1_000
COUNTED: Final = 50
CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}


class Side(NamedTuple):
    """A store, or what does the same.

    Attributes:
        module: Its program.
        url: Its URL, where `PORT` is its server's and `PATH` a folder of its own.
        server: The server's name; none where there is no server.
        packages: What of it has versions worth printing.
        python: The environment it runs in.
    """

    module: str
    url: str
    server: str | None = None
    packages: tuple[str, ...] = ("cloudq",)
    python: Path = HERE


_ENDPOINT: Final = "http://127.0.0.1:PORT"
_TABLE: Final = f"dynamodb://claims?region=eu-west-1&endpoint_url={quote(_ENDPOINT, safe='')}"
RAW: Final = "two boto3 calls"
SIDES: Final = {
    "DynamoDB": Side("stores_cloudq", _TABLE, "DynamoDB", ("cloudq", "botocore")),
    "DynamoDB, the SDK's wire": Side("stores_cloudq", f"{_TABLE}&wire=boto3", "DynamoDB", ("cloudq", "botocore")),
    RAW: Side("stores_raw", _ENDPOINT, "DynamoDB", ("boto3",)),
    "Powertools": Side("stores_powertools", _ENDPOINT, "DynamoDB", ("aws-lambda-powertools", "boto3"), PEERS),
    "PostgreSQL": Side(
        "stores_cloudq", "postgresql://cloudq@127.0.0.1:PORT/postgres", "PostgreSQL", ("SQLAlchemy", "psycopg")
    ),
    "MariaDB": Side("stores_cloudq", "mariadb://root@127.0.0.1:PORT/test", "MariaDB", ("SQLAlchemy", "PyMySQL")),
    "Redis": Side("stores_cloudq", "redis://127.0.0.1:PORT/0", "Redis", ("redis",)),
    "SQLite": Side("stores_cloudq", "sqlite:///PATH/claims.db"),
    "memory": Side("stores_cloudq", "memory://"),
}
RATIOS: Final = {
    "cloudq / raw": ("DynamoDB", RAW),
    "SDK's wire / raw": ("DynamoDB, the SDK's wire", RAW),
    "Powertools / raw": ("Powertools", RAW),
}


def main(extent: Extent) -> None:
    """Measures the sides in turn, several times, and prints the medians."""
    console = Console(width=190)
    console.print(f"[bold]A claim and its completion[/]; {machine()}; medians of {extent.repeats} in turn")
    os.environ.update(CREDENTIALS)
    sides = present(SIDES, console)
    tasks = extent.tasks(TASKS)
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    with servers() as ports:
        trips = {name: round_trips(side, ports) for name, side in sides.items()}
        for _ in range(extent.repeats):
            for name, side in sides.items():
                figures = measured(side, ports, tasks)
                runs[name].append(
                    {
                        "round trips": trips[name],
                        "ms": figures["wall"] / tasks * 1000,
                        "client's CPU, ms": figures["cpu"] / tasks * 1000,
                    }
                )
    console.print(table(runs, {name: pair for name, pair in RATIOS.items() if set(pair) <= set(runs)}))
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


def measured(side: Side, ports: Mapping[str, int], tasks: int) -> dict[str, float]:
    """One run."""
    port = ports[side.server] if side.server else 0
    with folder() as path, placed(side, port, path):
        process = child(side.module, tasks, folder=path, python=side.python)
        ready(process)
        return result(process)


def round_trips(side: Side, ports: Mapping[str, int]) -> float:
    """How many a claim and its completion take, once their connection is open."""
    if side.server is None:
        return 0
    with RoundTrips(ports[side.server]) as between, folder() as path, placed(side, between.port, path):
        process = child(side.module, COUNTED, folder=path, python=side.python)
        ready(process)
        before = between.count
        result(process)
        return (between.count - before) / COUNTED


@contextmanager
def placed(side: Side, port: int, path: Path) -> Iterator[None]:
    """The side's URL, in the environment of what is started in the block."""
    url = os.environ["BENCH_STORE"] = side.url.replace("PORT", str(port)).replace("PATH", str(path))
    if url.startswith("sqlite:"):
        migrate_store(url)
    yield


@contextmanager
def servers() -> Iterator[dict[str, int]]:
    """The ports of the servers, by their names; they end with the block."""
    with ExitStack() as stack:
        started: dict[str, databases.PostgreSQL | databases.MariaDB | databases.Redis] = {
            "PostgreSQL": databases.PostgreSQL(fsync="on", full_page_writes="on"),
            "MariaDB": databases.MariaDB(**{"innodb-flush-log-at-trx-commit": "1"}),
            "Redis": databases.Redis(),
        }
        for server in started.values():
            stack.callback(server.close)
        ports = {name: server.port for name, server in started.items()}
        for name in ("PostgreSQL", "MariaDB"):
            migrate_store(SIDES[name].url.replace("PORT", str(ports[name])))
        yield ports | {"DynamoDB": stack.enter_context(stand_in())}


@contextmanager
def stand_in() -> Iterator[int]:
    """The port of DynamoDB's stand-in."""
    command = [sys.executable, "-m", "tests.benchmarks.stand_in.table"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
