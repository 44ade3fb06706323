"""The names that a queue may have."""

from __future__ import annotations

import re
from typing import Final

from cloudq.core.message import is_dead_letter_queue
from cloudq.errors import OptionError

_QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:-]{0,255}")


def check_queue_name(name: object) -> str:
    """The queue's name, if it is one; a dead-letter queue's, too.

    Raises:
        OptionError: It isn't.
    """
    if not isinstance(name, str) or not _QUEUE_NAME.fullmatch(name):
        raise OptionError(f"{name!r} is not the name of a queue", hint="letters, digits, _ - . / and :, at most 256")
    return name


def check_queue(name: object) -> str:
    """The queue's name, if it is one that tasks may be sent to.

    Raises:
        OptionError: It isn't.
    """
    name = check_queue_name(name)
    if is_dead_letter_queue(name):
        raise OptionError(
            f"{name!r} is the name of a dead-letter queue: nothing is sent there", hint="choose another name"
        )
    return name
