"""Runs LocalStack in this process, of its own environment. Started by `start.py`.

LocalStack looks once a second which leases and delays have ended. SQS is prompter, and tests of leases of a second need
that: here it looks 20 times a second.

It would listen on every interface of the machine, whatever it is told, and go on without a port if that is taken: here
it listens where it is told to, says so by the file `LISTENING` in the current folder, and ends if it can't.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

LOOK_EVERY = 0.05
LISTENING = "listening"
PORT_TAKEN = 98


def main() -> None:
    """Runs until it is told to end, or until the process that started it has ended."""
    parent = int(sys.argv[1])
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    from localstack.services.sqs import provider

    class Prompt(provider.Scheduler):
        def schedule(self, func, period=None, **options):  # type: ignore[no-untyped-def]  # the class isn't ours
            return super().schedule(func, period=min(period, LOOK_EVERY) if period else period, **options)

    provider.Scheduler = Prompt
    _listen_where_told()

    from localstack.runtime.main import main as run

    run()


def _listen_where_told() -> None:
    from localstack.runtime.server import twisted
    from twisted.internet import endpoints

    from localstack import config

    [told] = config.GATEWAY_LISTEN

    class Endpoint(endpoints.TCP4ServerEndpoint):  # type: ignore[misc]  # twisted isn't in the environment of the checks
        def __init__(self, reactor, port):  # type: ignore[no-untyped-def]  # as LocalStack makes it: no interface
            super().__init__(reactor, port, interface=told.host)

        def listen(self, factory):  # type: ignore[no-untyped-def]  # the class isn't ours
            return super().listen(factory).addCallbacks(_say_listening, _end_without_port)

    twisted.endpoints.TCP4ServerEndpoint = Endpoint


def _say_listening(port: object) -> object:
    Path(LISTENING).touch()
    return port


def _end_without_port(failure: object) -> None:
    print(failure, file=sys.stderr, flush=True)
    os._exit(PORT_TAKEN)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # whoever would have ended it was killed


if __name__ == "__main__":
    main()
