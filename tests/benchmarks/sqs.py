"""`make bench`, its second part: SQS calls and client CPU a task, beside a plain boto3 loop and three task queues.

Everything runs against one LocalStack behind one counting proxy, each measurement in a process of its own. LocalStack
is slow, so no times are compared: only calls, which are what SQS costs, and the client's CPU.
"""

from __future__ import annotations

import os
import platform
import statistics
from importlib.metadata import version
from typing import Any, NamedTuple

import boto3
from rich.console import Console
from rich.table import Table

import cloudq
from localstack.start import CREDENTIALS, LocalStack
from tests.benchmarks.measure import folder, run
from tests.chaos.http_proxy import Counting, HttpProxy

TASKS = int(os.environ.get("BENCH_SQS_TASKS", "10000"))
# Their figures are per task too, and they take ten times as long.
PEER_TASKS = int(os.environ.get("BENCH_SQS_PEER_TASKS", str(max(TASKS // 10, 1))))
REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))
CONTROL = {"GetQueueUrl", "GetQueueAttributes", "CreateQueue", "ListQueues", "TagQueue"}
PHASES = ("send", "work")


class Side(NamedTuple):
    """A library with its settings."""

    module: str
    settings: str = "recommended"

    @property
    def tasks(self) -> int:
        """How many it is given."""
        return TASKS if self.module in {"sqs_raw", "sqs_cloudq"} else PEER_TASKS


RAW, OURS = "boto3, ten a call, no queue library", "cloudq"
SIDES = {
    RAW: Side("sqs_raw"),
    OURS: Side("sqs_cloudq"),
    "Celery, recommended": Side("sqs_celery"),
    "Celery, fastest": Side("sqs_celery", "fastest"),
    "Dramatiq, recommended": Side("sqs_dramatiq"),
    "Dramatiq, fastest": Side("sqs_dramatiq", "fastest"),
    "Taskiq, recommended": Side("sqs_taskiq"),
    "Taskiq, fastest": Side("sqs_taskiq", "fastest"),
}


class Bench:
    """Runs the sides against LocalStack, behind a proxy that counts."""

    def __init__(self, client: Any, url: str, calls: Counting) -> None:
        self._client = client
        self._calls = calls
        self._number = 0
        os.environ["AWS_ENDPOINT_URL"] = url

    def side(self, side: Side) -> dict[str, float]:
        """Its figures, once, in a queue of its own."""
        os.environ["BENCH_SETTINGS"] = side.settings
        figures: dict[str, float] = {}
        for phase in PHASES:
            figures |= self._measured(side, phase, fresh=phase == "send")
        return figures

    def threads(self) -> float:
        """Calls a task where sixteen threads send one by one."""
        return self._measured(SIDES[OURS], "threads", fresh=True)["threads calls"]

    def _measured(self, side: Side, phase: str, *, fresh: bool) -> dict[str, float]:
        if fresh:
            self._number += 1
            os.environ["BENCH_QUEUE"] = f"bench-{self._number}"
            self._client.create_queue(QueueName=os.environ["BENCH_QUEUE"])
        self._calls.taken()
        with folder() as path:
            measured = run(side.module, phase, side.tasks, folder=path)
        calls = sum(count for action, count in self._calls.taken().items() if action not in CONTROL)
        return {f"{phase} calls": calls / side.tasks, f"{phase} CPU": measured["cpu_per_1000"]}


def versions() -> str:
    """What is compared, on what."""
    names = ("boto3", "celery", "kombu", "dramatiq", "dramatiq-sqs", "taskiq", "taskiq-aio-sqs")
    return f"cloudq {cloudq.__version__}, " + ", ".join(f"{name} {version(name)}" for name in names)


def main() -> None:
    """Measures the sides in turn, several times, and prints the medians; ratios are those of one turn."""
    console = Console(width=150)
    console.print(
        f"{versions()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"{TASKS:,} no-op tasks of 200 bytes ({PEER_TASKS:,} for the three others), medians of {REPEATS} runs"
    )
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    threads: list[float] = []
    os.environ.update(CREDENTIALS)
    calls = Counting()
    with LocalStack() as localstack, HttpProxy(localstack.url, calls) as proxy:
        client = boto3.client("sqs", endpoint_url=localstack.url)
        bench = Bench(client, proxy.url, calls)
        for _ in range(REPEATS):
            for name, side in SIDES.items():
                runs[name].append(bench.side(side))
            threads.append(bench.threads())
    console.print(_table(runs))
    both = [one["send calls"] + one["work calls"] for one in runs[OURS]]
    console.print(
        f"cloudq, 16 threads that send one by one: {statistics.median(threads):.3f} calls a task; "
        f"send_many and worker together: {statistics.median(both):.3f}; load at the end {os.getloadavg()[0]:.1f}"
    )


def _table(runs: dict[str, list[dict[str, float]]]) -> Table:
    head = ("calls", "CPU s/1,000", "of boto3's")
    table = Table("", *(f"{phase}: {what}" for phase in PHASES for what in head))
    for name, measured in runs.items():
        cells = []
        for phase in PHASES:
            pairs = zip(measured, runs[RAW], strict=True)
            ratio = statistics.median(one[f"{phase} CPU"] / raw[f"{phase} CPU"] for one, raw in pairs)
            cells += [
                f"{statistics.median(one[f'{phase} calls'] for one in measured):.3f}",
                f"{statistics.median(one[f'{phase} CPU'] for one in measured):.3f}",
                f"{ratio:.2f} x",
            ]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main()
