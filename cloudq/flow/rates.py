"""`Rate`: how many tasks may start in which time, and counted for whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.spans import shown
from cloudq.errors import OptionError

PERIODS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
MOST: Final = 1_000_000
_WRITTEN: Final = re.compile(r"([1-9][0-9]{0,6})/([smhd])")


class Rate:
    """A number of starts in a span of time, evenly spaced.

    Starts are spaced, not saved up: at 60 a minute one a second may start, also after an hour of rest. What starts late
    may be late by a tenth of the period, so that in no period more than 110 % start.

    Args:
        text: The number, and in which time: `"50/s"`, `"100/m"`, `"10/h"`, `"1000/d"`; up to 1,000,000.
        key: Counted apart for each value of it: a template of the task's parameters, `"{customer}"`, or a function of
            them by their names. Up to 512 characters.
        per_worker: Whether each worker counts for itself, which needs no store. Else all workers of the app share it
            through the store.

    Raises:
        OptionError: It isn't written like that.

    Example:
        ```python
        @app.task(rate="100/m")
        def crawl(url: str) -> None: ...

        @app.task(rate=cloudq.Rate("5/s", key="{customer}"))
        def call_api(customer: str) -> None: ...
        ```
    """

    __slots__ = ("count", "key", "per", "per_worker", "text")

    def __init__(self, text: str, *, key: str | Callable[..., str] | None = None, per_worker: bool = False) -> None:
        written = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
        if written is None or int(written[1]) > MOST:
            raise OptionError(
                f"a rate is written as a number of up to {MOST:,} and a period, not {text!r}",
                hint='"50/s", "100/m", "10/h" or "1000/d"',
            )
        if not isinstance(per_worker, bool):
            raise OptionError(f"per_worker of a rate is True or False, not {per_worker!r}", hint="per_worker=True")
        self.text = text
        self.count = int(written[1])
        self.per = PERIODS[written[2]]
        self.key = key
        self.per_worker = per_worker

    @property
    def each(self) -> timedelta:
        """The time from one start to the next, in whole microseconds."""
        return self.per / self.count

    @property
    def late(self) -> timedelta:
        """How late a start may be: a turn that isn't used by then is lost, so that starts don't bunch up."""
        return self.per / 10

    def in_time(self, span: timedelta) -> int:
        """How many may start in a span, at least one."""
        return max(1, int(span / self.per * self.count))

    def __repr__(self) -> str:
        """As it is written."""
        key = "" if self.key is None else f", key={self.key!r}"
        return f"Rate({self.text!r}{key}{', per_worker=True' if self.per_worker else ''})"

    def __str__(self) -> str:
        """For log lines: `50/s`, or what it is in a longer period."""
        return f"{self.count} per {shown(self.per)}"
