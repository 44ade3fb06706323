"""Where a row's messages are: a SQLite file, or queues of its own on an SQS of this machine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cloudq.app import App
from cloudq.drivers.sqs import SQSDriver
from tests.compatibility.environment import run

_numbers = itertools.count()


class Place(NamedTuple):
    """A backend without messages.

    Attributes:
        url: Its URL.
        folder: For what the programs write.
        prefix: What its queues' names start with on SQS.
    """

    url: str
    folder: Path
    prefix: str = ""

    def variables(self, **more: str) -> dict[str, str]:
        return {"CLOUDQ_URL": self.url, "RESULTS": str(self.folder / "results"), **more}

    def run(self, program: str, *arguments: str, **more: str) -> str:
        """Runs a program to its end; what it printed.

        Raises:
            AssertionError: It ended with another exit code than 0.
        """
        ran = run(program, *arguments, **self.variables(**more))
        assert ran.returncode == 0, f"{program} {arguments}: {ran.stderr[-3000:]}"
        return ran.stdout

    def ready(self) -> int:
        """How many messages wait in `default`."""
        app = App(self.url)
        try:
            return app.queue("default").stats().ready or 0
        finally:
            app.close()


MakePlace = Callable[[], Place]


def sqlite(folder: Path) -> Place:
    """A file of its own."""
    own = folder / f"{next(_numbers)}"
    own.mkdir()
    return Place(f"sqlite:///{own}/q.db", own)


def sqs(folder: Path, endpoint: str, variables: Mapping[str, str]) -> Place:
    """Queues of its own, `default` and `orders.fifo`."""
    os.environ.update(variables)
    own = folder / f"{next(_numbers)}"
    own.mkdir()
    prefix = f"c{own.name}-"
    driver = SQSDriver("us-east-1", prefix=prefix, endpoint_url=endpoint)
    for queue in ("default", "orders.fifo"):
        driver.make_queue(queue)
    driver.close()
    return Place(f"sqs://us-east-1?prefix={prefix}&endpoint_url={quote(endpoint, safe='')}", own, prefix)
