"""`AppState`: what is set, what stays, and what means nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App, Context, RetryPolicy
from cloudq.errors import (
    ConfigurationError,
    OptionError,
)
from cloudq.tasks.app_settings import AppSettings
from tests.ids import shown


def echo(n: int) -> None: ...


def around(context: Context) -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"imports": "shop.tasks"}, "list of modules"),
        ({"url": 5}, "url is a text"),
        ({"retry": 5}, "is a RetryPolicy"),
        ({"middleware": echo}, "middleware is a list"),
        ({"unknown_task_patience": 3600}, "unknown_task_patience is a timedelta"),
        ({"snooze_patience": 86_400}, "snooze_patience is a timedelta"),
        ({"redact": "postgres"}, "redact is a function, not a str"),
        ({"unknown_task_patience": timedelta(seconds=-1)}, "timedelta of 0 or more"),
    ],
    ids=shown,
)
def test_settings_that_mean_nothing_are_refused(settings, why):
    """By the constructor and by `configure`, which then changes nothing."""
    with pytest.raises(ConfigurationError, match=why):
        App(**settings)
    app = App("memory://", default_queue="before")
    with pytest.raises(ConfigurationError, match=why):
        app.configure(default_queue="after", **settings)
    assert "before" == app.default_queue


def test_no_patience_is_a_patience():
    """Zero is set, and stays while other settings change; left out it is an hour."""
    app = App("memory://", unknown_task_patience=timedelta(0))
    app.configure(default_queue="other")
    assert (timedelta(0), timedelta(hours=1)) == (app.unknown_task_patience, App().unknown_task_patience)
    app = App("memory://", snooze_patience=timedelta(0))
    app.configure(default_queue="other")
    assert (timedelta(0), timedelta(days=1)) == (app.snooze_patience, App().snooze_patience)


@pytest.mark.parametrize("name", ["", "q-dlq", "a b"])
def test_a_default_queue_is_the_name_of_a_queue(name):
    """As a task's own."""
    with pytest.raises(OptionError):
        App(default_queue=name)


def test_configure_sets_what_is_given_and_leaves_the_rest():
    """Until the backend is open."""
    policy = RetryPolicy()
    app = App("memory://", imports=["a"], default_queue="q")
    app.configure(retry=policy)
    assert ("memory://", ("a",), "q", policy) == (app.url, app.imports, app.default_queue, app.retry_policy)
    app.send("t")
    with pytest.raises(ConfigurationError, match="too late"):
        app.configure(default_queue="late")
    app.close()
    app.configure(default_queue="again")
    assert "again" == app.default_queue


def test_all_settings_can_be_set_back(tmp_path: Path) -> None:
    """To those of the moment at which that was asked for, whatever was configured since."""
    app = App("memory://")
    before = seen(app)
    set_back = app.settings_in_force()
    changed: AppSettings = {
        "imports": ["shop.tasks"],
        "retry": RetryPolicy(max_deliveries=99),
        "middleware": [around],
        "default_queue": "mail",
        "strict_queues": True,
        "signing": "warn",
        "signing_keys": "a:" + "00" * 32,
        "claim_check": f"file://{tmp_path}",
        "store": "memory://",
        "convert_untyped": True,
        "unknown_task_patience": timedelta(0),
        "snooze_patience": timedelta(0),
        "longest_delay": timedelta(days=1),
        "propagate_expiry": True,
        "redact": str.upper,
        "queue_rates": {"mail": "1/s"},
        "outbox_namespace": "shop",
    }
    assert set(AppSettings.__annotations__) == set(changed)
    app.configure("sqlite:///other.db", **changed)
    now = seen(app)
    assert [name for name in before if before[name] == now[name]] == []
    set_back()
    assert before == seen(app)


def seen(app: App) -> dict[str, object]:
    """All that `configure` may change."""
    connection = app._connection
    names = vars(app).keys() - {"runtime", "dependencies", "hooks"}
    own = {name: getattr(app, name) for name in names if not name.startswith("_")}
    return {
        **own,
        "url": connection.given,
        "claim_check": connection.given_claim_check,
        "store": app._stores.given,
        "signing": connection.signing.mode,
        "signing_keys": connection.signing.keys,
    }
