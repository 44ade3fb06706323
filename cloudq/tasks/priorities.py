"""`Priorities`: names for how urgent a message is, each of which is a queue of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from cloudq.errors import OptionError, TaskDefinitionError, nearest
from cloudq.queues.names import check_queue

# What a message has whose send and declaration say nothing, where that is one of the names.
NORMAL: Final = "normal"
_EXAMPLE: Final = 'priorities={"high": "mail-high", "normal": "mail", "low": "mail-low"}'
# A weight is a whole number, and doubles from each to the next.
_MOST: Final = 10


class Priorities(msgspec.Struct, frozen=True, kw_only=True):
    """Of a declaration, checked.

    Attributes:
        queues: The queue of each by its name, the most urgent first.
        default: The one of messages that say nothing.
    """

    queues: Mapping[str, str]
    default: str

    @property
    def queue(self) -> str:
        """Where messages go that say nothing."""
        return self.queues[self.default]

    def queue_of(self, priority: object, task: str) -> str:
        """The queue of a priority.

        Raises:
            OptionError: The task declares none of that name.
        """
        if isinstance(priority, str) and priority in self.queues:
            return self.queues[priority]
        raise OptionError(
            f"task {task!r} has no priority {priority!r}: {nearest(str(priority), self.queues)}",
            hint="its declaration names them: priorities={...}",
        )

    def weights(self) -> dict[str, int]:
        """How often a worker that serves all of them takes of each queue: twice as often as of the next."""
        return {queue: 1 << place for place, queue in enumerate(reversed(list(self.queues.values())))}


def declared_priorities(options: Mapping[str, object], task: str) -> Priorities | None:
    """Those of a declaration; `None` if it names none.

    Raises:
        TaskDefinitionError: They mean nothing.
        OptionError: One isn't the name of a queue.
    """
    given, default = options.get("priorities"), options.get("priority")
    if given is None:
        if default is not None:
            raise TaskDefinitionError(f"priority of task {task!r} says nothing without priorities", hint=_EXAMPLE)
        return None
    if "queue" in options or "queues" in options:
        raise TaskDefinitionError(
            f"task {task!r} has priorities and a queue, which exclude each other",
            hint="the priorities name its queues",
        )
    if not isinstance(given, Mapping) or not 2 <= len(given) <= _MOST or not all(map(_is_name, given)):
        raise TaskDefinitionError(
            f"priorities of task {task!r} are 2 to {_MOST} queues by names, the most urgent first, not {given!r}",
            hint=_EXAMPLE,
        )
    queues = {name: check_queue(queue) for name, queue in given.items()}
    if len(set(queues.values())) < len(queues):
        raise TaskDefinitionError(f"priorities of task {task!r} name a queue twice", hint="a queue each")
    default = NORMAL if default is None else default
    if not isinstance(default, str) or default not in queues:
        raise TaskDefinitionError(
            f"task {task!r} has no priority {default!r} for messages that say nothing",
            hint=f"priority={next(iter(queues))!r}, or another of its priorities",
        )
    return Priorities(queues=queues, default=default)


def check_priority(options: Mapping[str, object]) -> None:
    """Refuses a send option of this kind that doesn't mean anything.

    Raises:
        OptionError: Saying why.
    """
    if "priority" not in options:
        return
    if not _is_name(options["priority"]):
        raise OptionError(f"priority is a name, not {options['priority']!r}", hint='priority="high"')
    if "queue" in options:
        raise OptionError("priority and queue exclude each other", hint="a priority is a queue: leave out one of them")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and 0 < len(name) <= 80
