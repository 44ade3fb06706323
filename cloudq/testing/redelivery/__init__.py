"""Proof that tasks may run twice: they are run under what at-least-once delivery does, and their effects compared.

Tasks of a program may import this module to mark points in their code: it loads nothing but these marks. The other
names are loaded at their first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudq.testing.redelivery.points import crash_point, crash_points

if TYPE_CHECKING:
    from cloudq.testing.redelivery.checking import Check
    from cloudq.testing.redelivery.finding import Finding, NotIdempotent
    from cloudq.testing.redelivery.schedule import Fault

_HOME_OF = {
    "Check": "cloudq.testing.redelivery.checking",
    "Fault": "cloudq.testing.redelivery.schedule",
    "Finding": "cloudq.testing.redelivery.finding",
    "NotIdempotent": "cloudq.testing.redelivery.finding",
}

__all__ = ["Check", "Fault", "Finding", "NotIdempotent", "crash_point", "crash_points"]


def __getattr__(name: str) -> object:
    """Loads a public name from its home."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'cloudq.testing.redelivery' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
