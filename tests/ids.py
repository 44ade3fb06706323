"""Names for parametrized tests that are the same in every process."""

from __future__ import annotations

import re


def shown(value: object) -> str:
    """A value's text, without the address at which an object happens to lie."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value) if not isinstance(value, str) else repr(value)[1:-1])
