"""Each test has an app of its own, in memory on a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from cloudq.compat.celery import Celery
from cloudq.compat.celery.current import _current
from cloudq.testing import FakeClock, in_memory


@pytest.fixture(autouse=True)
def no_current_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of another test's."""
    monkeypatch.setattr(_current, "app", None)
    monkeypatch.setattr(_current, "shared", [])


@pytest.fixture
def app() -> Celery:
    """An app whose results are kept."""
    return Celery("proj", broker="memory://", backend="memory://")


@pytest.fixture
def open_app() -> Iterator[Callable[..., Any]]:
    """Puts an app in memory until the end of the test, and gives the App of cloudq's and its clock."""
    with ExitStack() as stack:

        def opened(app: Celery) -> tuple[Any, FakeClock]:
            clock = FakeClock()
            return stack.enter_context(in_memory(app.cloudq, clock=clock)), clock

        yield opened
