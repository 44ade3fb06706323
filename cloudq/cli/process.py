"""The command line as a process: its streams, its exit code, and which way its command is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from types import ModuleType
from typing import Final, TextIO

from cloudq.cli import direct
from cloudq.cli.failures import FAILED, INTERRUPTED, USAGE, report
from cloudq.cli.options import Switches
from cloudq.cli.output import Nowhere, ReaderGone, StdoutError, as_json_lines, complain, is_terminal, json_log

# What the command line needs beyond the library; each of them brings its own.
_NEEDED: Final = frozenset({"typer", "rich", "click", "shellingham"})
# The commands that work on and on, and write a log.
_LOGGING: Final = frozenset({"worker", ("outbox", "relay")})


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name. Returns the exit code; never raises for what a user can meet."""
    _open_closed_streams()
    _tolerate_any_locale()
    switches = Switches()
    words = sys.argv[1:] if arguments is None else arguments
    in_json = _logs_json(words)
    with as_json_lines(in_json):
        try:
            if in_json:
                import_module("cloudq.running.logs").configure("json")
            code = _invoke(words, switches)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last frame: all errors are reported here
            code = report(error, debug=switches.debug)
        return _flush(code, switches)


def _logs_json(words: Sequence[str]) -> bool:
    """Whether the command is asked to log in JSON: then so are mistakes in the command line."""
    told = "--log-format=json" in words or ("--log-format", "json") in pairwise(words)
    named = [word for word in words if not word.startswith("-")][:2]  # `cloudq --debug worker` is one, too
    return told and bool(named) and (named[0] in _LOGGING or tuple(named) in _LOGGING)


def _invoke(words: Sequence[str], switches: Switches) -> int:
    code: object = 0
    try:
        command = direct.command_of(words)
        if command is None:
            _application().invoke(words, switches)
        else:
            command()
    except ReaderGone:
        code = FAILED  # the reader of stdout has gone: as typer has it for the other commands, nothing is said
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit as end:
        code = end.code
    if code == INTERRUPTED:  # of this nothing was said, and what was shown may stand in an unfinished line
        if (log := json_log()) is not None:
            log.warning("interrupted")
        else:
            complain(("\n" if is_terminal(sys.stderr) else "") + "cloudq: interrupted")
    return code if isinstance(code, int) else FAILED if code else 0


def _application() -> ModuleType:
    """What needs typer.

    Raises:
        SystemExit: It isn't installed, which was said.
    """
    try:
        return import_module("cloudq.cli.application")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        complain(f"cloudq: the command line needs {package}, which isn't installed\n  hint: pip install typer")
        raise SystemExit(USAGE) from error


def _flush(code: int, switches: Switches) -> int:
    """The exit code, once stdout has taken everything: a full disk shows here, not at the interpreter's very end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        code = code or FAILED if isinstance(error, BrokenPipeError) else _unwritten(code, error, switches)
    try:
        sys.stderr.flush()
    except OSError:  # there is no way to report it, and the command has done its work all the same
        _silence(sys.stderr)
    return code


def _unwritten(code: int, error: OSError, switches: Switches) -> int:
    return code or report(StdoutError.of(error), debug=switches.debug)


def _open_closed_streams() -> None:
    """Opens closed streams (`cloudq worker >&-`) on the null device: else the next open file would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Nowhere(mode))


def _tolerate_any_locale() -> None:
    """A character that the locale's encoding doesn't have is escaped rather than an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _silence(stream: TextIO) -> None:
    """Drops buffered output that can't be written: the interpreter would try again at its end, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
