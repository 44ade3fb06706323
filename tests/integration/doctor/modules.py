"""What the Terraform modules set where nobody says otherwise, read from their variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
_OPTIONAL: Final = re.compile(r"^\s+(\w+)\s+= optional\((?:number|bool|string), ([^)]+)\)$", re.MULTILINE)


def defaults(module: str) -> dict[str, str]:
    """The defaults of the entries of a module's `queues`."""
    found = dict(_OPTIONAL.findall((ROOT / "terraform" / module / "variables.tf").read_text(encoding="utf-8")))
    assert found, "the module's variables are written otherwise now"
    return found
