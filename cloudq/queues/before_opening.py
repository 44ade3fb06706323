"""Who is asked before an app's backend is opened from its URL: nobody, but in a test run.

It imports nothing, so that the pytest plugin, which pytest loads wherever cloudq is installed, may import it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Look: TypeAlias = "Callable[[object, str], None]"
"""Called with the opener (something that lives as long as the app does) and the URL. What it raises, opening raises."""

_looks: Final[list[Look]] = []


def add_look(look: Look) -> None:
    """From now on `look` is asked, in place of who was asked before."""
    _looks.append(look)


def remove_look(look: Look) -> None:
    """`look` is asked no longer; who was asked before is asked again. Nothing, where it wasn't asked."""
    if look in _looks:
        _looks.remove(look)


def look_before_opening(opener: object, url: str) -> None:
    """Asks the look that was added last: a test run within a test run has its own rules."""
    for look in _looks[-1:]:
        look(opener, url)
