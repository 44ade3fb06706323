"""A limit that a test opens and closes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cloudq.flow.limit import Limit


class Places(Limit):
    """Lets in as many as there are places; more come when it is asked. A `Limit`.

    Attributes:
        free: How many may enter now.
        answers: How many places the next questions bring; an error is raised.
    """

    def __init__(self, name: str, free: int = 0, *, most: int = 100) -> None:
        super().__init__(name)
        self.free = free
        self.most = most
        self.answers: list[int | BaseException] = []
        self.asked: list[int] = []
        self.left: list[bool | None] = []
        self.wait_for: timedelta | None = None
        self.failures = 0
        self.empty_polls = 0
        self.next: timedelta | None = None
        self.closed = False
        self.why: str | None = None
        self.idle = True
        self.due = 0

    @property
    def is_idle(self) -> bool:
        return self.idle

    @property
    def holds_back(self) -> str | None:
        return self.why

    def enter(self, now: timedelta) -> bool:
        if not self.free:
            return False
        self.free -= 1
        return True

    def undo(self) -> None:
        self.free += 1

    def leave(self, now: timedelta, *, entered: timedelta, failed: bool | None) -> None:
        self.left.append(failed)

    def room(self, now: timedelta, waiting: int) -> int:
        return max(0, self.most - waiting)

    def wants(self, now: timedelta, waiting: int, *, polling: bool) -> int:
        return max(waiting, int(polling), self.due) if self.answers else 0

    def next_at(self, now: timedelta) -> timedelta | None:
        return self.next

    def wait(self, now: timedelta, place: int) -> timedelta | None:
        return None if self.wait_for is None else self.wait_for * (place + 1)

    def ask(self, count: int) -> Callable[[timedelta], None]:
        self.asked.append(count)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer

        def note(now: timedelta) -> None:
            self.free += answer

        return note

    def note_failure(self, now: timedelta) -> bool:
        self.failures += 1
        return self.failures == 1

    def note_empty(self) -> None:
        self.empty_polls += 1

    def close(self) -> None:
        self.closed = True
