"""`TypoWarning`: a send by a name that no task of this program has, and that is nearly one of them."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

from cloudq.tasks.callers import callers_level

# Other programs' names are often built alike (`blog.tasks.mail`, `shop.tasks.mail`: 0.8), and aren't typing errors.
_NEAR: Final = 0.84
# How many checked names are remembered: names may be made of data, so their number has no bound.
_REMEMBERED: Final = 1_000


class TypoWarning:
    """Warns, once a name, that it may be mistyped. It can't be an error: the task may live in another program."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._warned: set[str] = set()
        self._declared = 0

    def look(self, name: str, declared: Collection[str]) -> None:
        """Warns if `name`, which isn't among the declared ones, is near one of them."""
        if len(declared) != self._declared:
            self._seen, self._declared = set(self._warned), len(declared)  # more were imported since
        if name in self._seen or len(self._seen) >= _REMEMBERED:
            return
        self._seen.add(name)
        near = _near(name, declared)
        if near is None:
            return
        self._warned.add(name)
        warnings.warn(
            f"this program has no task {name!r}; did you mean {near!r}? (It is stored: another program may have it.)",
            RuntimeWarning,
            stacklevel=callers_level(),
        )


def _near(name: str, declared: Collection[str]) -> str | None:
    alike = {known.lower(): known for known in sorted(declared)}
    close = get_close_matches(name.lower(), alike, n=1, cutoff=_NEAR)
    if close:
        return alike[close[0]]
    # The one is the other, as seen from another folder.
    return next((known for known in alike.values() if _ends_with(known, name) or _ends_with(name, known)), None)


def _ends_with(whole: str, end: str) -> bool:
    return whole.endswith(f".{end}")
