"""`cloudq dlq export` and `import`: dead letters as lines of JSON."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

from cloudq.cli.dlq.chosen import (
    Condition,
    DryRun,
    Limit,
    Rate,
    Unchecked,
    Vouch,
    condition_of,
    place,
    rate_of,
    tell_unseen,
)
from cloudq.cli.dlq.going_on import Options, command
from cloudq.cli.dlq.repair import operator
from cloudq.cli.dlq.report import NOTHING_LEFT, end, watched
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue
from cloudq.cli.output import is_terminal, note, progress, refuse_closed, write_bytes
from cloudq.cli.parameters import Argument, Option
from cloudq.errors import ConfigurationError, OptionError
from cloudq.queues.dead_letters import Redriven
from cloudq.queues.letters.exchange import LONGEST_LINE

EXPORT_EXAMPLES: Final = (
    "cloudq dlq export emails > emails.jsonl",
    "cloudq dlq export emails --where 'task=shop.welcome dead<7d' > old.jsonl",
)
IMPORT_EXAMPLES: Final = (
    "cloudq dlq import emails emails.jsonl --rate 50/s",
    "cloudq dlq import emails - < edited.jsonl",
)

# Of UTF-8 and of UTF-16: what PowerShell's > writes. It may have changed a body by that, so it isn't read all the same.
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

File = Annotated[str, Argument(metavar="FILE", help="What an export wrote; - for stdin.", show_default=False)]
FromLine = Annotated[
    int, Option("--from-line", metavar="N", min=1, help="Begin with this line: to go on where an import ended.")
]


def export(
    queue: Queue,
    *,
    where: Condition = None,
    limit: Limit = None,
    after: Annotated[
        str | None, Option("--after", metavar="KEY", help="From behind this one, to go on where an export ended.")
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    _debug: Debug = False,
) -> None:
    """Write dead letters to stdout, a JSON object a line, their bodies byte for byte. Takes none, changes nothing."""
    refuse_closed(sys.stdout, "stdout")
    with place(queue, app, backend) as at:
        condition = condition_of(where, at.now)
        count = 0
        with progress("exporting", 0) as more:
            for line in at.letters.export(condition, limit=limit, after=after):
                write_bytes(line + b"\n")
                count += 1
                more(1)
        tell_unseen(at.letters)
        note(f"exported {count:,} dead letters of queue {at.name!r}")


def import_(
    queue: Queue,
    file: File,
    *,
    from_line: FromLine = 1,
    limit: Limit = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    vouch: Vouch = False,
    unchecked: Unchecked = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Send what was exported to its queue, as a redrive does: with all attempts, counted as redriven.

    They go to the queue, not to its dead-letter queue, so workers run them. A line with an "edit" member is edited:
    {"payload": {...}, "task": ..., "idempotency_key": ..., "headers": {...}}, each of them if it is to change.

    With signing keys each line has to be signed with one of them, or --vouch signs it. A line that can't be read or
    sent is reported by its number, and the others go on. Interrupted, it says from which line to go on.
    """
    pace = rate_of(rate)
    with place(queue, app, backend, stores=True) as at, _opened(file) as stream:
        lines = _Lines(stream)
        total = 0 if file == "-" else _count(Path(file))
        reached = from_line

        def go_on(done: Redriven) -> str:
            left = None if limit is None else limit - done.chosen
            if left == 0:
                return NOTHING_LEFT
            options: Options = {
                "--from-line": reached,
                "--limit": left,
                "--rate": rate,
                "--dry-run": dry_run,
                "--vouch": vouch,
                "--unchecked": unchecked,
                "--app": app,
                "--backend": backend,
                "--json": json,
            }
            more = " with the same lines on stdin" if file == "-" else ""
            return command("import", at.name, file, options=options) + more

        with watched("importing", total, go_on) as watch:

            def update(done: Redriven) -> None:
                nonlocal reached
                reached = lines.number + 1
                watch.update(done)

            done = at.letters.load(
                lines,
                by=operator(),
                start=from_line,
                limit=limit,
                rate=pace,
                dry_run=dry_run,
                vouch=vouch,
                unchecked=unchecked,
                progress=update,
            )
        if lines.number + 1 < from_line:
            raise OptionError(
                f"--from-line {from_line} is behind the last line, {lines.number}",
                hint="nothing was imported; without --from-line all of them are",
            )
        end(at.name, done, done.chosen, said="imported", json=json, dry_run=dry_run)


class _Lines:
    """The lines of a stream, none longer than what an import reads.

    Attributes:
        number: Of the latest.

    Raises:
        OptionError: While they are read: they aren't in UTF-8 as an export writes it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0

    def __iter__(self) -> Iterator[bytes]:
        while line := self._stream.readline(LONGEST_LINE + 1):
            self.number += 1
            if self.number == 1 and line.startswith(_MARKS):
                raise OptionError(
                    "it isn't as an export wrote it: it begins with a byte order mark, so a shell wrote it anew",
                    hint="export it to plain UTF-8, in PowerShell by: cmd /c 'cloudq dlq export QUEUE > FILE'",
                )
            if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                self._skip()
            yield line

    def _skip(self) -> None:
        """The rest of a line that is refused."""
        while (rest := self._stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
            pass


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        refuse_closed(sys.stdin, "stdin")
        if is_terminal(sys.stdin):
            note("reading from stdin")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - closed below; an error of the block isn't the file's
    except OSError as error:
        raise ConfigurationError(
            f"{file} can't be read: {error.strerror or error}", hint="cloudq dlq export"
        ) from error
    with stream:
        yield stream


def _count(file: Path) -> int:
    """How many lines there are, for the bar."""
    if not file.is_file():
        return 0
    with file.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
