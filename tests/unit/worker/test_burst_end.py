"""What a burst's exit code says."""

from __future__ import annotations

import logging

import pytest

from cloudq.worker.burst_end import code_at_end


def test_work_that_a_burst_leaves_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """And said, each."""
    assert code_at_end(True, [None, "3 messages of unknown tasks"]) == 1
    assert "3 messages of unknown tasks" in caplog.text


@pytest.mark.parametrize(("burst", "left"), [(True, [None, None]), (False, ["something"])])
def test_nothing_else_is(burst: bool, left: list[str | None], caplog: pytest.LogCaptureFixture) -> None:
    """A worker that isn't one leaves work to others."""
    with caplog.at_level(logging.INFO):
        assert code_at_end(burst, left) == 0
    assert caplog.text == ""
