"""`Budget`: how an invocation's time is shared out, so that it answers before it is killed.

```
 began                                              end        unwound          answer_by   deadline
   ├── tasks start, if their time fits ──────────────┤            │                 │           │
   └── tasks run ────────────────────────────────────┤ are stopped│                 │           │
                                                     └── unwind ──┤ failures settled┤  answer ──┤ killed
```
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

# Time kept for settling and answering: on a function with little memory, loading the SDK alone takes a second.
RESERVE: Final = timedelta(seconds=3)
# A function's timeout may be 3 s: most of it is for the tasks.
_LARGEST_PART: Final = 4
# A task without a time limit starts only while this part of the time for tasks is left.
_UNDECLARED: Final = 0.1
# A task whose time limit is longer than the function's timeout starts only while nearly all of it is left.
_NEARLY_ALL: Final = 0.9


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The moments of one invocation, by `Clock.elapsed`.

    Attributes:
        began: When it began.
        deadline: When the service kills it.
    """

    began: timedelta
    deadline: timedelta

    @property
    def reserve(self) -> timedelta:
        """What is kept for settling and answering."""
        return min(RESERVE, max(timedelta(0), self.deadline - self.began) / _LARGEST_PART)

    @property
    def end(self) -> timedelta:
        """When the tasks that still run are stopped."""
        return self.deadline - self.reserve

    @property
    def unwound(self) -> timedelta:
        """When a task that was stopped and still runs is given up."""
        return self.deadline - self.reserve * 3 / 4

    @property
    def answer_by(self) -> timedelta:
        """When the answer is given, whatever is still under way."""
        return self.deadline - self.reserve / 8

    def allows(self, limit: timedelta | None, now: timedelta) -> bool:
        """Whether a task may start.

        Args:
            limit: Its time limit, or `None` if it declares none.
            now: The present moment.
        """
        whole = self.end - self.began
        needed = whole * _UNDECLARED if limit is None else min(limit, whole * _NEARLY_ALL)
        return self.end - now >= needed
