"""Whether a queue is paused, by a look that changes nothing."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.cli.pause_state import PauseState, pause_of
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import StoreUnavailable
from cloudq.stores.memory import MemoryStore
from tests.unit.drivers.sqs.fakes import FakeSqs

pytestmark = pytest.mark.cloudq_allow_real


def test_the_backend_says_so(tmp_path):
    """SQLite pauses by itself."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}")
    assert PauseState(paused=False) == pause_of(app, "mail")
    app.pause("mail")
    assert PauseState(paused=True) == pause_of(app, "mail")
    app.close()


def test_the_store_says_so_where_the_backend_can_not(monkeypatch):
    """SQS: one look at the flag that its workers obey, or why there is none."""
    store = MemoryStore()
    monkeypatch.setattr("cloudq.queues.store_connection.open_store", lambda *_, **__: store)
    app = App("sqs://test", store="redis://127.0.0.1:1/0")
    with app.using(SQSDriver("test", client=FakeSqs())):
        assert PauseState(paused=False) == pause_of(app, "mail")
        app.pause("mail")
        assert PauseState(paused=True) == pause_of(app, "mail")
        monkeypatch.setattr(App, "is_paused", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone")))
        assert PauseState(why="gone", failed=True) == pause_of(app, "mail")
    app.close()


@pytest.mark.parametrize(("store", "why"), [(None, "no store is named"), ("sqlite:///{folder}/s.db", "doesn't open")])
def test_nothing_is_asked_where_that_would_change_something(tmp_path, store, why):
    """A file of a store would be made, or its tables changed."""
    app = App("sqs://test", store=None if store is None else store.format(folder=tmp_path))
    with app.using(SQSDriver("test", client=FakeSqs())):
        found = pause_of(app, "mail")
    assert (None, False) == (found.paused, found.failed)
    assert why in found.why
    assert [] == list(tmp_path.iterdir())
