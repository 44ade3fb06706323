"""What a command writes: data to stdout, everything else to stderr; progress on a terminal only.

`--json` writes one JSON object a line (JSON Lines), whether a command gives one thing or a list of them, so that a long
list needs no memory and a reader can stop anywhere.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

import msgspec

from cloudq.core.printable import in_a_line, printable, printable_json
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

# Off a terminal nothing is wrapped or cut: the reader is a program, a file or a pager.
_UNBOUNDED = 100_000
# How what isn't an error, and may be a mistake, begins.
_NOTE = "note: "
_json_lines = False


class StdoutError(OSError):
    """Stdout takes no more. What the command did is done; what it had to say is lost."""

    @classmethod
    def of(cls, error: OSError) -> Self:
        """The same, of an error that a write or a flush raised."""
        return cls(f"stdout can't be written: {error.strerror or error}")


class ReaderGone(BrokenPipeError):
    """Nobody reads stdout any more: no error to speak of. Another pipe's end is one."""


class Nowhere(TextIOWrapper):
    """Stands in for a stream that was closed before the start: nothing comes from it, what is written to it is lost.

    Args:
        mode: `r` or `w`.
    """

    def __init__(self, mode: str) -> None:
        super().__init__(Path(os.devnull).open(f"{mode}b"), encoding="utf-8")  # noqa: SIM115 - ours to close


def refuse_closed(stream: TextIO, name: str) -> None:
    """Refuses to begin what is all about a stream that was closed: what is lost would count as done.

    Args:
        stream: The stream.
        name: Its name: `stdout`.

    Raises:
        ConfigurationError: It was closed before the start.
    """
    if isinstance(stream, Nowhere):
        hint = "< FILE" if name == "stdin" else "> FILE; > /dev/null, if it may be lost"
        raise ConfigurationError(f"{name} is closed", hint=hint)


def write(text: str) -> None:
    """Data for people, with what could steer a terminal made visible; its line ends are the caller's own."""
    with _to_stdout():
        sys.stdout.write(printable(text) + "\n")


def write_json(value: object) -> None:
    """One JSON object on a line of its own, in UTF-8 whatever the locale, that a terminal can show."""
    write_bytes(printable_json(msgspec.json.encode(value)) + b"\n")


def write_bytes(data: bytes) -> None:
    """Bytes to stdout as they are."""
    with _to_stdout():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def note(*lines: str) -> None:
    """Lines for the person in front of it, each of them one; on stderr, so that they're never taken for data."""
    with _to_stdout():
        sys.stdout.flush()
    log = json_log()
    if log is None:
        complain("\n".join(map(in_a_line, lines)))
        return
    for line in lines:
        log.log(logging.WARNING if line.startswith(_NOTE) else logging.INFO, "%s", line.removeprefix(_NOTE).strip())


def refuse(what: str, hint: str) -> None:
    """What is wrong and what to do about it, in the form of an error, where the command goes on all the same."""
    if (log := json_log()) is not None:
        log.error("%s", what, extra={"cloudq_hint": hint})
    else:
        note(f"cloudq: {what}", f"  hint: {hint}")


@contextmanager
def as_json_lines(wanted: bool) -> Iterator[None]:
    """Within the block what is said on stderr is a log line in JSON, if that is wanted. Logging must be configured."""
    global _json_lines  # noqa: PLW0603 - one command runs at a time
    _json_lines = wanted
    try:
        yield
    finally:
        _json_lines = False


def json_log() -> SafeLogger | None:
    """Where to say it where nothing but JSON is to stand on stderr; else `None`."""
    return SafeLogger("cloudq") if _json_lines else None


def complain(text: str, end: str = "\n") -> None:
    """Writes text to stderr at once. If it can't be written, that can't be reported either, and the command goes on."""
    with suppress(OSError):
        sys.stderr.write(text + end)
        sys.stderr.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns with a heading. On a terminal they fold to its width; elsewhere a row is a line."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    terminal = is_terminal(sys.stdout)
    drawn = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, header_style="bold")
    for name in columns:
        drawn.add_column(name, overflow="fold", no_wrap=not terminal)
    for row in rows:
        drawn.add_row(*(Text(in_a_line(shown(value))) for value in row))
    _write_drawn(lambda console: console.print(drawn))


def details(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, a line each; those without a value are left out."""
    known = [(in_a_line(name), in_a_line(shown(value))) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        write(f"{name + ':':<{width + 1}} {value}")


def shown(value: object) -> str:
    """A value as people read it: nothing known is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value)) or "-"
    return str(value)


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at the stream (or types into it)."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def confirm(question: str, *, yes: bool) -> bool:
    """Whether the person agrees to what destroys something. Asked on stderr.

    Raises:
        ConfigurationError: Nobody can be asked, and `--yes` wasn't given.
    """
    if yes:
        return True
    if not is_terminal(sys.stdin):
        raise ConfigurationError(f"not done, as nobody can be asked: {question}", hint="add --yes to do it unasked")
    with _to_stdout():
        sys.stdout.flush()
    complain(in_a_line(f"{question} [y/N] "), end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        complain("")  # Ctrl-D leaves the line unfinished
    return answer.strip().lower() in {"y", "yes"}


def confirm_or_exit(question: str, *, yes: bool) -> None:
    """Goes on only if the person agrees to what destroys something.

    Raises:
        ConfigurationError: Nobody can be asked, and `--yes` wasn't given.
        SystemExit: The person doesn't agree.
    """
    if not confirm(question, yes=yes):
        note("nothing was deleted")
        raise SystemExit(1)


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the block runs; the block calls what it is given with how many more are done.

    Where stderr is no terminal there is nothing.
    """
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console_of(sys.stderr), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda more: bar.advance(task, more)


def without_nothing(values: Mapping[str, object]) -> dict[str, object]:
    """The values that are known, for JSON."""
    return {name: value for name, value in values.items() if value is not None}


def console_of(stream: TextIO) -> Console:
    """What rich draws with on a stream; off a terminal nothing is wrapped or cut."""
    from rich.console import Console

    # rich itself looks at NO_COLOR and TERM.
    terminal = is_terminal(stream)
    return Console(
        file=stream, width=None if terminal else _UNBOUNDED, force_terminal=terminal, highlight=False, markup=False
    )


def _write_drawn(draw: Callable[[Console], None]) -> None:
    console = console_of(sys.stdout)
    with _to_stdout():
        with console.capture() as capture:  # its end flushes stdout
            draw(console)
        # rich fills every line up to the table's width.
        sys.stdout.write("".join(line.rstrip() + "\n" for line in capture.get().splitlines() if line.strip()))


@contextmanager
def _to_stdout() -> Iterator[None]:
    """A full disk is said to be stdout's; a reader that has gone is no error to speak of, and passes as it is."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone(*error.args) from error
    except OSError as error:
        raise StdoutError.of(error) from error
