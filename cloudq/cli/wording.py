"""What the library says in Python's words, said in those of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cloudq.errors import CloudqError, ConfigurationError, OptionError, UnsupportedError

# Parameters of Python, and with what stands for their value.
_KEYS: Final = re.compile(r"\b(ordering|idempotency|fairness)_key(=\.\.\.)?")
_EXCLUDE: Final = re.compile(r"\bdelay and (at|ordering_key) exclude\b")
_SETTINGS: Final = re.compile(
    r"^(?:a |an )?(lease|wait|grace|expires|concurrency|processes|prefetch|polls|max_tasks)\b(?= (?:of|is|at least)\b)"
)
_LESS: Final = re.compile(r"\bwait less$|\bset the lease to\b|^expires=.*$")
_MEANT: Final = {"wait less": "a shorter --wait", "set the lease to": "--lease"}
_EXPIRES: Final = "--expires 10m, or --expires 2030-01-31T09:00+01:00"


@contextmanager
def in_options() -> Iterator[None]:
    """Within the block, what is refused is said by the options' names: `--ordering-key`, not `ordering_key=`."""
    try:
        yield
    except (OptionError, UnsupportedError, ConfigurationError) as error:
        raise _reworded(error) from error.__cause__


def _reworded(error: CloudqError) -> CloudqError:
    return type(error)(_as_options(error.message), hint=None if error.hint is None else _as_options(error.hint))


def _as_options(text: str) -> str:
    text = _EXCLUDE.sub(lambda found: f"--delay and --{found[1].replace('_', '-')} exclude", text)
    text = _KEYS.sub(lambda found: f"--{found[1]}-key" + (" KEY" if found[2] else ""), text)
    text = _SETTINGS.sub(lambda found: f"--{found[1].replace('_', '-')}", text)
    return _LESS.sub(lambda found: _MEANT.get(found[0], _EXPIRES), text)
