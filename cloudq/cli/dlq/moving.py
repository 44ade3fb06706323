"""`cloudq dlq redrive --all --by-service`: starts the service's own move, watches it, and stops it on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Final

from cloudq.cli.failures import FAILED
from cloudq.cli.output import confirm, note, progress, write, write_json
from cloudq.core.moving import MoveProgress, MoveState
from cloudq.errors import CloudqError, TransientError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.dead_letters import Move

POLL: Final = timedelta(seconds=1)
# How many checks in a row may fail, with a pause after each, before the move is cancelled, since it isn't watched.
PATIENCE: Final = 30

_LIMITS: Final = (
    "What the service itself dead-lettered keeps its earlier attempts, "
    "and what dies again at once is moved again and again until this ends."
)


def move_all(queue: CloudQueue, where: str, *, yes: bool, json: bool) -> None:
    """Asks, moves, and reports the result. Exits with 1 unless all were moved."""
    letters = queue.dead_letters
    dead = queue.stats().dead if letters.movable else None
    if dead == 0:
        _say(queue.name, MoveProgress(state=MoveState.COMPLETED, moved=0), json=json)
        return
    about = "" if dead is None else f" (about {dead:,})"
    question = f"Have the service move all dead letters of queue {queue.name!r} in {where}{about}? {_LIMITS}"
    if letters.movable and not confirm(question, yes=yes):
        note("nothing was moved")
        raise SystemExit(FAILED)
    move = letters.move_all()
    end: MoveProgress | None = None
    try:
        with progress("moving", dead or 0) as more:
            end = _watch(move, more, dead or 0)
    finally:
        # Interrupted, or the service no longer answers: unwatched, it might move in a circle for hours.
        if end is None:
            _cancel(move)
    _say(queue.name, end, json=json)
    if end.state is not MoveState.COMPLETED:
        raise SystemExit(FAILED)


def _watch(move: Move, more: Callable[[int], None], dead: int) -> MoveProgress:
    """Looks until the move has ended. A look that fails and may succeed the next time is no reason to end."""
    shown = failed = 0
    warned = False
    while True:
        try:
            seen = move.progress()
            failed = 0
        except TransientError:
            failed += 1
            if failed >= PATIENCE:
                raise
        else:
            moved, total = seen.moved or 0, max(seen.total or 0, dead)
            more(max(0, moved - shown))
            shown = max(shown, moved)
            if moved > total and not warned:
                warned = True
                note(f"{moved:,} were moved, of {total:,} at the start: perhaps some die again and are moved again")
            if seen.state.ended:
                return seen
        Event().wait(POLL.total_seconds())


def _cancel(move: Move) -> None:
    try:
        move.cancel()
    except CloudqError as error:
        note(f"the move could not be cancelled and goes on at the service: {error}")
    else:
        note("the service was asked to stop; what was moved stays moved")


def _say(name: str, end: MoveProgress, *, json: bool) -> None:
    if end.state is MoveState.FAILED:
        note("error: the move failed" + (f": {end.reason}" if end.reason else ""))
    elif end.state is MoveState.CANCELLED:
        note("the move was cancelled elsewhere; messages that were moved stay moved")
    if json:
        write_json({"queue": name, "moved": end.moved, "state": end.state.value, "reason": end.reason})
    else:
        write(f"moved about {end.moved or 0:,} dead letters of queue {name!r}")
