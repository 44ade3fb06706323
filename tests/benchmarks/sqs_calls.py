"""SQS: calls a task, counted on LocalStack, which answers as SQS does: ours beside a loop over boto3.

LocalStack is slow, so no times are compared here: only calls, which are what SQS costs.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Final

import boto3
from rich.console import Console

from localstack.start import CREDENTIALS, LocalStack
from tests.benchmarks.extent import Extent, parser
from tests.benchmarks.measure import folder, run
from tests.benchmarks.report import table
from tests.benchmarks.stand_in.control import CONTROL
from tests.chaos.http_proxy import Counting, HttpProxy

TASKS: Final = {"send_many": 5_000, "work": 5_000, "send": 500, "threads": 500}
SIDES: Final = {"cloudq": "sqs_cloudq", "boto3 alone": "sqs_raw"}


def main(extent: Extent) -> None:
    """Counts in turn, and prints the medians."""
    console = Console(width=150)
    os.environ.update(CREDENTIALS)
    calls = Counting()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    with LocalStack() as localstack, HttpProxy(localstack.url, calls) as proxy:
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        client = boto3.client("sqs", endpoint_url=localstack.url)
        for turn in range(extent.repeats):
            for name, module in SIDES.items():
                counted: dict[str, float] = {}
                for phase, number in TASKS.items():
                    if phase != "work":
                        os.environ["BENCH_QUEUE"] = f"{module}-{phase}-{turn}"
                        client.create_queue(QueueName=os.environ["BENCH_QUEUE"])
                    tasks = extent.tasks(number)
                    calls.taken()
                    with folder() as path:
                        run(module, phase, tasks, folder=path)
                    counted[f"{phase}, calls a task"] = (
                        sum(count for action, count in calls.taken().items() if action not in CONTROL) / tasks
                    )
                runs[name].append(counted)
    console.print(f"[bold]SQS calls[/], on LocalStack behind a counting proxy; medians of {extent.repeats} in turn")
    console.print(table(runs, {}))
    both = median(one["send_many, calls a task"] + one["work, calls a task"] for one in runs["cloudq"])
    console.print(f"cloudq, send_many and worker together: {both:.3f} calls a task")


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
