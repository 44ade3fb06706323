"""Runs LocalStack in this process, of its own environment. Started by `start.py`.

LocalStack looks once a second which leases and delays have ended. SQS is prompter, and tests of leases of a second need
that: here it looks 20 times a second.
"""

from __future__ import annotations

import os
import sys
import threading
import time

LOOK_EVERY = 0.05


def main() -> None:
    """Runs until it is told to end, or until the process that started it has ended."""
    parent = int(sys.argv[1])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    from localstack.services.sqs import provider

    class Prompt(provider.Scheduler):
        def schedule(self, func, period=None, **options):  # type: ignore[no-untyped-def]  # the class isn't ours
            return super().schedule(func, period=min(period, LOOK_EVERY) if period else period, **options)

    provider.Scheduler = Prompt

    from localstack.runtime.main import main as run

    run()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # whoever would have ended it was killed


if __name__ == "__main__":
    main()
