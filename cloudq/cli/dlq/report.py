"""How a redrive, an edit or an import is watched, ends, and goes on once it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from cloudq.cli.failures import FAILED, UNREACHABLE, exit_code
from cloudq.cli.output import note, progress, write, write_json
from cloudq.queues.dead_letters import Redriven

NOTHING: Final = Redriven(redriven=0)
NOTHING_LEFT: Final = "nothing: all that were meant are done"
"""In place of a command that goes on."""
UNSEEN: Final = "the search for them ended at the backend's bound; redrive or delete older ones first"
"""Why chosen ones are left where `DeadLetters.unseen` says so."""
# The same few causes are behind very many errors.
_MOST_ERRORS: Final = 20


class Watch:
    """What was done so far; `update` is a redrive's `progress`."""

    def __init__(self, more: Callable[[int], None]) -> None:
        self.done = NOTHING
        self._more = more
        self._shown = 0

    def update(self, done: Redriven) -> None:
        """Notes it, and moves the bar on."""
        self.done = done
        ended = done.redriven + len(done.errors) - done.undeleted
        self._more(ended - self._shown)
        self._shown = ended


@contextmanager
def watched(doing: str, total: int, go_on: Callable[[Redriven], str]) -> Iterator[Watch]:
    """Shows how far it is. If it is cut short, it says how much was done, what failed, and what goes on from there.

    Args:
        doing: What is done, for the bar.
        total: Of how many.
        go_on: Gives the command that goes on, of what was done.
    """
    with progress(doing, total) as more:
        watch = Watch(more)
        try:
            yield watch
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, KeyboardInterrupt) or watch.done is not NOTHING:
                _tell_unfinished(watch.done, go_on(watch.done), interrupted=isinstance(error, KeyboardInterrupt))
            raise


def _tell_unfinished(done: Redriven, go_on: str, *, interrupted: bool) -> None:
    # All of them, since nothing else will say so: an import that goes on does so behind the lines that were refused.
    tell_errors(done.errors, most=len(done.errors))
    how = "interrupted" if interrupted else "it failed half way"
    note(
        f"{how}: {done.redriven:,} were sent; a few more may be, and are still here, too",
        f"  go on with: {go_on}",
    )


def tell_errors(errors: Sequence[Exception], *, most: int = _MOST_ERRORS) -> None:
    """Each error once, with how often; of more than `most` how many more there are."""
    counts: dict[str, int] = {}
    for error in errors:
        counts[str(error)] = counts.get(str(error), 0) + 1
    for text, times in list(counts.items())[:most]:
        note(f"error: {text}" + (f" ({times} times)" if times > 1 else ""))
    if len(counts) > most:
        note(f"and {len(counts) - most:,} other errors: --json has all of them")


def end(
    name: str, done: Redriven, meant: int, *, said: str, json: bool, dry_run: bool = False, unseen: bool = False
) -> None:
    """Reports the result, and ends with exit code 1 unless all were sent; with 3 if only the backend is at fault.

    Args:
        name: The queue.
        done: What was done.
        meant: How many were meant, with those that weren't there.
        said: What was done with them: `redrove`.
        json: Whether for a program.
        dry_run: Whether nothing was done.
        unseen: Whether the search for those that were meant ended at the backend's bound.
    """
    left = meant - done.redriven + done.undeleted
    if done.missed and not done.errors:
        note(f"{done.missed:,} were left: {UNSEEN if unseen else 'somebody else redrives or deletes them'}")
    tell_errors(done.errors)
    if done.undeleted:
        note(f"{done.undeleted:,} were sent, and are still here, too: to redrive them again is to repeat their work")
    if json:
        errors = [str(error) for error in done.errors]
        result = {"queue": name, "redriven": done.redriven, "left": left, "errors": errors}
        write_json({**result, "chosen": done.chosen, "dry_run": True} if dry_run else result)
    elif dry_run:
        write(f"{done.chosen - len(done.errors):,} of {meant:,} would be sent to queue {name!r}; nothing was changed")
    else:
        write(f"{said} {done.redriven:,} of {meant:,} dead letters of queue {name!r}")
    if done.errors and all(exit_code(error) == UNREACHABLE for error in done.errors):
        raise SystemExit(UNREACHABLE)
    if done.errors or (left and not dry_run) or done.chosen < meant:
        raise SystemExit(FAILED)
