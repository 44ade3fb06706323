"""Instructions a task of the hot path, of this tree beside another revision: `make bench-diff REV=...` runs it.

They don't drift with the machine's speed or load, but for what threads do by chance. Imports and opening aren't in
them, nor the service, which is a process of its own. Without a revision: this tree alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from localstack.start import CREDENTIALS
from tests.benchmarks.counting import instructions
from tests.benchmarks.extent import parser
from tests.benchmarks.measure import ROOT, environment, folder, run
from tests.benchmarks.revisions import checkout
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in


class HotPath(NamedTuple):
    """What is counted.

    Attributes:
        name: As it is printed.
        module: The side's.
        phase: Of the side.
        tasks: For how many.
        filled: Whether they have to be there first.
    """

    name: str
    module: str
    phase: str
    tasks: int = 1_000
    filled: bool = False


_FEW: Final = 10

HOT_PATHS: Final = (
    HotPath("encode, kept in memory", "memory_cloudq", "send_many"),
    HotPath("encode, decode, run", "memory_cloudq", "work"),
    HotPath("SQS, sent ten a call", "sqs_cloudq", "send_many"),
    HotPath("SQS, sent one a call", "sqs_cloudq", "send", 200),
    HotPath("SQS, received, run, settled", "sqs_cloudq", "work", filled=True),
    HotPath("SQLite, sent singly", "sqlite_cloudq", "send"),
    HotPath("SQLite, taken, run, settled", "sqlite_cloudq", "work", filled=True),
)


def measured(path: HotPath, service: Control, tree: Path) -> float:
    """Instructions a task."""
    with folder() as place:
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=service.url, BENCH_QUEUE=place.name)
        service.create(place.name)
        for tasks in (_FEW, path.tasks):  # the few aren't counted: what is imported late is compiled by them, once
            if path.filled:
                run(path.module, "send_many", tasks, folder=place, tree=tree)
            if tasks == _FEW:
                run(path.module, path.phase, tasks, folder=place, tree=tree)
        command = [sys.executable, "-m", f"tests.benchmarks.{path.module}", path.phase, str(path.tasks)]
        return instructions(command, place, environment(place, tree)) / path.tasks


def main(revision: str | None, only: str) -> None:
    """Prints each path as it is counted."""
    print("instructions a task, by callgrind" + (f", this tree beside {revision}" if revision else ""))
    with ExitStack() as stack:
        other = stack.enter_context(checkout(revision)) if revision else None
        os.environ["PYTHONPYCACHEPREFIX"] = str(stack.enter_context(folder()))
        service = stack.enter_context(stand_in())
        for path in HOT_PATHS:
            if only not in path.name:
                continue
            ours = measured(path, service, ROOT)
            line = f"{path.name:28} {ours:12,.0f}"
            if other is not None:
                theirs = measured(path, service, other)
                line += f" ({theirs:,.0f} before): {ours / theirs:.3f}x"
            print(line, flush=True)


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument("revision", nargs="?", help="a commit, branch or tag")
    command.add_argument("--only", default="", help="only paths whose name has this in it")
    asked = command.parse_args()
    main(asked.revision, asked.only)
