"""A time limit as it comes: an error between any two lines of cloudq's own code."""

from __future__ import annotations

import sys
from typing import Any, Self

from tests.unit.tracing import clear_taken_back_errors


class Interrupted(BaseException):
    """A time limit's error."""


class Interruption:
    """Raises at the n-th line of some modules of `cloudq.user_database`."""

    def __init__(self, line: int, *modules: str) -> None:
        self.modules = tuple(f"cloudq/user_database/{module}.py" for module in modules)
        self.left = line
        self.hit = False

    def __enter__(self) -> Self:
        clear_taken_back_errors()
        sys.settrace(self.call)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        sys.settrace(None)

    def call(self, frame: Any, kind: str, _: Any) -> Any:
        return self.line if frame.f_code.co_filename.endswith(self.modules) else None

    def line(self, frame: Any, kind: str, _: Any) -> Any:
        if kind == "line" and not self.hit:
            self.left -= 1
            if self.left == 0:
                self.hit = True
                raise Interrupted
        return self.line
