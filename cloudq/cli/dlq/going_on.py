"""The command that goes on where another one ended, to be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TypeAlias

from cloudq.core.redaction import mask_secrets

Options: TypeAlias = Mapping[str, str | int | bool | None]
"""Options as they were given, by name; `None` and `False` were not."""


def command(verb: str, *arguments: str, options: Options) -> str:
    """`cloudq dlq VERB` with what was said of where and how: else it would go on elsewhere, or at full speed.

    Args:
        verb: Which one.
        *arguments: What it is about.
        options: How.
    """
    words = ["cloudq", "dlq", verb, *arguments]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(name)
        if value is not True:
            # It is shown, and a backend's URL may have a signature in it. Anything else stays what it is: a condition
            # of which a part is masked would be another condition.
            words.append(mask_secrets(str(value)) if name == "--backend" else str(value))
    return shlex.join(words)
