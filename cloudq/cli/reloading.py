"""`supervise`, for `cloudq worker --reload`: the worker in a process that is replaced when code changes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from cloudq.cli.output import is_terminal, note
from cloudq.discovery import find_app
from cloudq.errors import CloudqError, ConfigurationError

RELOAD: Final = "--reload"
# A worker lets running tasks end; a person who has just saved a file wants to wait for a few seconds at most.
PATIENCE: Final = 5.0
_LOOK_MILLISECONDS: Final = 500
_SHOWN: Final = 3


class Process(Protocol):
    """The worker's process, as `subprocess.Popen` gives it."""

    def poll(self) -> int | None:
        """Its exit code; `None` while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end. Raises `subprocess.TimeoutExpired`."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Sends it a signal, if it runs."""
        ...

    def kill(self) -> None:
        """Ends it now."""
        ...


class Supervisor:
    """Keeps one worker, and replaces it.

    Args:
        start: Starts a worker.
    """

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self._process: Process | None = None
        self._stopping = False
        self._unheard: int | None = None  # a signal that came while there was no worker

    def run(self, changes: Iterable[Sequence[str]]) -> int:
        """Works until it is stopped, or a worker ends well by itself (`--burst`); one that fails waits for a change.

        Args:
            changes: The names of files that have changed, again and again; none for a mere look at the worker.

        Returns:
            The exit code: the worker's last one.
        """
        process = self._begin()
        waiting = False
        for changed in changes:
            if self._stopping:
                break
            if changed:
                note(f"reload: {_listed(changed)} changed")
                another = self._replace(process)
                if another is None:
                    break
                process, waiting = another, False
            code = process.poll()
            if code == 0:
                return 0
            if code is not None and not waiting:
                waiting = True
                note(f"reload: the worker ended with exit code {code}; it starts again when a file changes")
        return process.wait()

    def _replace(self, process: Process) -> Process | None:
        """Ends the worker and starts another one. `None`: a signal came meanwhile, so that there is no other one."""
        end(process)
        self._process = None  # a signal from here on is the next one's
        return None if self._stopping else self._begin()

    def _begin(self) -> Process:
        self._process = process = self._start()
        if self._unheard is not None:
            # A terminal's may have reached it by itself as well: then it ends faster, and runs nothing yet.
            process.send_signal(self._unheard)
        return process

    def stop(self, number: int, *, forward: bool) -> None:
        """A signal has arrived: nothing is replaced any more.

        Args:
            number: The signal.
            forward: Whether the worker doesn't get it by itself.
        """
        self._stopping = True
        if self._process is None:
            self._unheard = number
        elif forward:
            self._process.send_signal(number)


def end(process: Process) -> None:
    """Ends a worker: as the first signal does, after some seconds as the second one does, and then by force."""
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def supervise(words: Sequence[str], spec: str | None) -> int:
    """Runs the worker that these words start, and another one whenever a Python file changes.

    Watched are the current folder and the app's.

    Args:
        words: The command line.
        spec: The app that was named, if one was.

    Raises:
        ConfigurationError: watchfiles isn't installed.
    """
    try:
        import watchfiles
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{RELOAD} needs the module {error.name!r}, which isn't installed", hint="pip install 'cloudq[reload]'"
        ) from error
    command = [sys.executable, "-m", "cloudq", *(word for word in words if word != RELOAD)]
    supervisor = Supervisor(lambda: subprocess.Popen(command))  # noqa: S603 - our own command line
    watched = watchfiles.watch(
        *_folders(spec),
        watch_filter=watchfiles.PythonFilter(),
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    changes = (sorted({Path(path).name for _, path in found}) for found in watched)
    with _signals(supervisor):
        return supervisor.run(changes)


def _folders(spec: str | None) -> set[Path]:
    here = Path.cwd()
    try:
        return {here, find_app(spec).folder}
    except CloudqError:
        return {here}  # the worker says what is wrong


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


@contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    # A Ctrl-C on a terminal reaches the worker as well, which is in the same group: so that a debugger in it has the
    # terminal.
    shared = is_terminal(sys.stdin)

    def arrived(number: int, _: FrameType | None) -> None:
        supervisor.stop(number, forward=number != signal.SIGINT or not shared)

    before = {number: signal.signal(number, arrived) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
