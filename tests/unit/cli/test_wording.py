"""The library's words in those of the command line."""

from __future__ import annotations

import pytest

from cloudq.cli.wording import in_options
from cloudq.errors import ConfigurationError, OptionError, PayloadError, UnsupportedError


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            UnsupportedError("no order, so ordering_key is refused", hint="pass ordering_key=..., or not"),
            "no order, so --ordering-key is refused",
            "pass --ordering-key KEY, or not",
        ),
        (
            ConfigurationError("a lease of 5 s is too short", hint="lease at least 20 s, or wait less"),
            "--lease of 5 s is too short",
            "--lease at least 20 s, or a shorter --wait",
        ),
        (OptionError("delay and ordering_key exclude it"), "--delay and --ordering-key exclude it", None),
        (ConfigurationError("max_tasks is 0: at least 1 is needed"), "--max-tasks is 0: at least 1 is needed", None),
        (PayloadError("ordering_key: is missing", hint="ordering_key"), "ordering_key: is missing", "ordering_key"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_in_options(error, message, hint):
    """Kind, cause and code stay; a payload's own names aren't touched."""
    error.__cause__ = cause = ValueError()
    with pytest.raises(type(error)) as raised, in_options():
        raise error
    assert (message, hint, cause) == (raised.value.message, raised.value.hint, raised.value.__cause__)
