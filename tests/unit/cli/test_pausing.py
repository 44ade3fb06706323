"""`cloudq pause` and `cloudq resume`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq import App
from cloudq.core.capabilities import Capabilities
from cloudq.core.inspection import QueueStats
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendUnavailable


def paused(shop, queue="emails"):
    app = App(shop.url)
    try:
        return app.is_paused(queue)
    finally:
        app.close()


def test_a_queue_is_paused_and_resumed(cli, shop):
    """Each says whether it was so before, with exit code 0."""
    for words, said, now in (
        ("pause", "queue 'emails' is paused", True),
        ("pause", "queue 'emails' was paused already", True),
        ("resume", "queue 'emails' is resumed", False),
        ("resume", "queue 'emails' wasn't paused", False),
    ):
        result = cli(words, "emails", "--backend", shop.url)
        assert (0, f"{said}\n") == (result.code, result.out)
        assert now is paused(shop)


def test_for_programs(cli, shop):
    """An object; an embedded database keeps messages without end."""
    result = cli("pause", "emails", "--backend", shop.url, "--json")
    expected = {"queue": "emails", "paused": True, "changed": True}
    kept = dict.fromkeys(("retention_seconds", "oldest_lost", "next_lost"))
    assert expected | kept == json.loads(result.out)
    result = cli("resume", "emails", "--backend", shop.url, "--json")
    assert {"queue": "emails", "paused": False, "changed": True} == json.loads(result.out)


def test_it_says_when_messages_are_lost(cli, shop, monkeypatch):
    """By how long the service keeps them, and how long the oldest has waited."""
    able, days = SQLiteDriver.capabilities, timedelta(days=4)

    def capabilities(driver: SQLiteDriver, queue: str) -> Capabilities:
        return replace(able(driver, queue), retention=days)

    monkeypatch.setattr(SQLiteDriver, "capabilities", capabilities)
    monkeypatch.setattr(SQLiteDriver, "stats", lambda *_: QueueStats(ready=1, oldest_age=timedelta(days=1)))
    result = cli("pause", "emails", "--backend", shop.url)
    lines = result.out.splitlines()
    assert "messages are kept for 4 d: one that is sent now is lost at " in lines[1]
    assert "the oldest that waits is lost at " in lines[2]
    result = json.loads(cli("pause", "emails", "--backend", shop.url, "--json").out)
    lost = [datetime.fromisoformat(result[name]) for name in ("oldest_lost", "next_lost")]
    assert timedelta(days=1) == lost[1] - lost[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (BackendUnavailable("no answer"), "note: for how long messages are kept could not be asked: no answer\n"),
        (None, "note: there is no queue 'emails' at the backend yet\n"),
        (QueueSettings(name="emails"), ""),
    ],
    ids=["unreachable", "no queue", "without end"],
)
def test_what_a_service_did_not_say_is_not_made_up(cli, shop, monkeypatch, settings, said):
    """What is usual there isn't what holds for this queue."""

    def queue_settings(driver: SQLiteDriver, queue: str) -> QueueSettings | None:
        if isinstance(settings, Exception):
            raise settings
        return settings

    able = SQLiteDriver.capabilities
    monkeypatch.setattr(
        SQLiteDriver, "capabilities", lambda *given: replace(able(*given), retention=timedelta(days=14))
    )
    monkeypatch.setattr(SQLiteDriver, "queue_settings", queue_settings, raising=False)
    result = cli("pause", "emails", "--backend", shop.url)
    assert (0, "queue 'emails' is paused\n", said) == result
    assert json.loads(cli("pause", "emails", "--backend", shop.url, "--json").out)["retention_seconds"] is None


@pytest.mark.parametrize("words", ["pause", "resume"])
def test_a_dead_letter_queue_is_refused(cli, shop, words):
    """It would run what is dead, where the backend has it as a queue."""
    result = cli(words, "emails-dlq", "--backend", shop.url)
    assert 2 == result.code
    assert "'emails-dlq' is the name of a dead-letter queue" in result.err
    assert "name the queue it belongs to: emails" in result.err
