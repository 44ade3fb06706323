"""RQ's exceptions have RQ's names."""

from __future__ import annotations

import rq.exceptions

from cloudq.compat.rq import exceptions


def test_each_is_named_as_rqs() -> None:
    """So that `except NoSuchJobError` goes on, once it imports ours."""
    own = {name for name in vars(exceptions) if name.endswith("Error")}
    assert {"NoSuchJobError"} == own <= set(vars(rq.exceptions))
