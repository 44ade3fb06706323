"""Pausing by an app: by its backend, or by a flag in its store."""

from __future__ import annotations

import pytest

from cloudq import App, OptionError, UnsupportedError
from cloudq.drivers.memory import MemoryDriver
from cloudq.flow.flags import Flags, pause_flag
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock


class WithoutPauses:
    """A backend that can't pause: what pauses in memory is hidden."""

    def __init__(self) -> None:
        self._driver = MemoryDriver()

    def __getattr__(self, name: str) -> object:
        if name in {"pause", "resume", "is_paused"}:
            raise AttributeError(name)
        return getattr(self._driver, name)


def test_a_backend_that_can_pauses_by_itself() -> None:
    """The store isn't asked."""
    driver = MemoryDriver()
    app = App(store="none")
    with app.using(driver):
        assert [True, False] == [app.pause("emails"), app.pause("emails")]
        assert (True, True) == (app.is_paused("emails"), driver.is_paused("emails"))
        assert [True, False] == [app.resume("emails"), app.resume("emails")]


def test_elsewhere_it_is_a_flag_in_the_store() -> None:
    """Which workers look at."""
    store = MemoryStore(FakeClock())
    app = App()
    with app.using(WithoutPauses(), store=store):  # type: ignore[arg-type]  # as far as it is used
        assert [True, False] == [app.pause("emails"), app.pause("emails")]
        assert Flags(store.notes).look(pause_flag("emails")) is not None
        assert (True, False) == (app.is_paused("emails"), app.is_paused("other"))
        assert [True, False] == [app.resume("emails"), app.resume("emails")]


def test_without_either_it_is_refused() -> None:
    """It says what is missing."""
    app = App(store="none")
    with app.using(WithoutPauses()), pytest.raises(UnsupportedError, match="no store to note it in"):  # type: ignore[arg-type]  # as above
        app.pause("emails")


@pytest.mark.parametrize("queue", ["emails-dlq", "emails-dlq.fifo", "no name"])
def test_only_queues_are_paused(queue: str) -> None:
    """A dead-letter queue hands nothing over; resumed on Cloud Tasks it would push what is dead."""
    app = App()
    with app.using(MemoryDriver()):
        for act in (app.pause, app.resume, app.is_paused):
            with pytest.raises(OptionError):
                act(queue)
