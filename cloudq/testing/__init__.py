"""For the tests of those who use cloudq or write a driver for it: fakes, a clock, the conformance kit.

Names are loaded at their first use, so that the pytest plugin costs next to nothing where no test uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudq.testing.clock import FakeClock
    from cloudq.testing.guard import RealBackendWarning, allow_real
    from cloudq.testing.memory import in_memory, sent
    from cloudq.testing.runs import Report, Run, run_all

# No name is that of a module: whichever is imported first, a name means one thing.
_HOME_OF = {
    "FakeClock": "cloudq.testing.clock",
    "RealBackendWarning": "cloudq.testing.guard",
    "Report": "cloudq.testing.runs",
    "Run": "cloudq.testing.runs",
    "allow_real": "cloudq.testing.guard",
    "in_memory": "cloudq.testing.memory",
    "run_all": "cloudq.testing.runs",
    "sent": "cloudq.testing.memory",
}

__all__ = ["FakeClock", "RealBackendWarning", "Report", "Run", "allow_real", "in_memory", "run_all", "sent"]


def __getattr__(name: str) -> object:
    """Loads a public name from its home."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'cloudq.testing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
