"""From names of cloudq to the resource names of Cloud Tasks, and back. No call is made for either."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from cloudq.core.message import DEAD_LETTER_SUFFIX, is_dead_letter_queue
from cloudq.drivers.cloud_tasks.limits import MAX_QUEUE_NAME
from cloudq.errors import UnsupportedError

_QUEUE: Final = re.compile(r"[A-Za-z0-9-]+")
# 160 bits: no two names meet by chance, and a dead letter's key stays short enough to be typed.
_TASK_LENGTH: Final = 40


class Names:
    """The resource names of one project and location.

    Args:
        project: The project's id.
        location: The location, a region's name.
        prefix: What the queues' names on Cloud Tasks start with.
    """

    def __init__(self, project: str, location: str, prefix: str = "") -> None:
        self.location = f"projects/{project}/locations/{location}"
        self._prefix = prefix

    def queue(self, queue: str) -> str:
        """The queue's resource name.

        Raises:
            UnsupportedError: Cloud Tasks can't have a queue of that name.
        """
        native = self._prefix + queue
        # Its dead-letter queue has to fit as well.
        room = 0 if is_dead_letter_queue(queue) else len(DEAD_LETTER_SUFFIX)
        if not _QUEUE.fullmatch(native) or len(native) > MAX_QUEUE_NAME - room:
            raise UnsupportedError(
                f"{native!r} can't be the name of a queue of Google Cloud Tasks",
                hint=f"letters, digits and hyphens, at most {MAX_QUEUE_NAME - room}, the prefix included",
            )
        return f"{self.location}/queues/{native}"

    def task(self, queue: str, id_: str) -> str:
        """The resource name of a task."""
        return f"{self.queue(queue)}/tasks/{id_}"

    def of_pushed(self, native: str) -> str | None:
        """The queue that a push names, or `None` if it isn't one of these."""
        if not native.startswith(self._prefix) or len(native) == len(self._prefix):
            return None
        return native.removeprefix(self._prefix)


def task_id(native_id: str) -> str:
    """A native id as Cloud Tasks takes it for a task's name: a hash of it.

    A hash has the characters that a name may have, and spreads the names: names in sequence make every call slower.
    """
    return hashlib.sha256(native_id.encode("utf-8", "surrogatepass")).hexdigest()[:_TASK_LENGTH]
