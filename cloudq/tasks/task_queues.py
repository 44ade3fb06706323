"""Which task from which queue: the queues that a declaration names, and sends to others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cloudq.errors import OptionError, TaskDefinitionError
from cloudq.queues.names import check_queue
from cloudq.tasks.options import TaskOptions

_SHOWN = 8


def own_queues(options: TaskOptions, task: str) -> tuple[str, ...]:
    """The queues that a declaration names, its `queue` or its `queues`; none where it says nothing.

    Raises:
        TaskDefinitionError: It says both, or `queues` isn't a list of names, or names one twice.
        OptionError: One isn't the name of a queue.
    """
    if "queue" in options:
        if "queues" in options:
            raise TaskDefinitionError(
                f"task {task!r} has queue and queues, which exclude each other",
                hint="queues=[...] alone; sends go to the first of them",
            )
        return (check_queue(options["queue"]),)
    if "queues" not in options:
        return ()
    given = options["queues"]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TaskDefinitionError(
            f"queues of task {task!r} are a list of names, not {given!r}", hint='queues=["mail", "mail-urgent"]'
        )
    names = tuple(check_queue(name) for name in given)
    if not names:
        raise TaskDefinitionError(f"queues of task {task!r} are none", hint="name one, or leave it out")
    if len(set(names)) < len(names):
        raise TaskDefinitionError(f"queues of task {task!r} name one twice: {listed(names)}", hint="name each once")
    return names


def refuse_foreign_queue(task: str, queue: str, queues: Sequence[str]) -> None:
    """Refuses a send to a queue that the task doesn't name.

    Raises:
        OptionError: It names others.
    """
    if queue in queues:
        return
    named = ", ".join(map(repr, dict.fromkeys([*queues, queue])))
    raise OptionError(
        f"task {task!r} isn't one of queue {queue!r}: its declaration names {listed(queues)}",
        hint=f"declare it with queues=[{named}]; App(strict_queues=False) lets every task be sent to every queue",
    )


def listed(queues: Sequence[str]) -> str:
    """The names, for a person; not all of very many."""
    shown = ", ".join(map(repr, queues[:_SHOWN]))
    return shown if len(queues) <= _SHOWN else f"{shown} and {len(queues) - _SHOWN} more"
