"""`cloudq bridge celery`."""

from __future__ import annotations

import json
import signal
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.cli import bridge
from cloudq.compat.celery.bridge import opening
from cloudq.compat.celery.bridge.old_queue import Found
from cloudq.errors import BackendUnavailable
from tests.unit.compat.celery.bridge.messages import written

URL = "redis://:s3cret@127.0.0.1:6379/0"
GOOD = {"task": "shop.welcome"}


class Old:
    """An old queue in memory."""

    def __init__(self) -> None:
        self.there: list[Found] = []
        self.left: list[Found] = []
        self.asked: dict[str, object] = {}
        self.closed = False
        self.error: Exception | None = None
        self.behind = 0

    def put(self, *raws: bytes) -> None:
        self.there += [Found(raw=raw, size=len(raw), place="celery", handle=n) for n, raw in enumerate(raws)]

    def waiting(self):
        return len(self.there)

    def read(self, wait):
        found = [one for one in self.there if one not in self.left]
        if not found and self.error is not None:
            raise self.error
        return found

    def take(self, found):
        self.there = [one for one in self.there if one not in found]

    def leave(self, found):
        self.left += found

    def held_back(self):
        return self.behind

    def close(self):
        self.closed = True


@pytest.fixture
def old(monkeypatch, shop):
    old = Old()

    def opened(url, queue, clock, **options):
        old.asked = {"url": url, "queue": queue, **options}
        return old

    monkeypatch.setattr(opening, "open_old_queue", opened)
    monkeypatch.delenv(bridge.BROKER_VARIABLE, raising=False)
    return old


def run(cli, *arguments):
    return cli("bridge", "celery", "--from", URL, "--app", "shop", "--idle", "0", *arguments)


def waiting(shop, queue="emails"):
    app = App(shop.url)
    ready = app.queue(queue).stats().ready
    app.close()
    return ready


def test_all_of_it_is_bridged(cli, shop, old):
    """Exit code 0, and how much it was."""
    old.put(written([1], **GOOD), written([2], **GOOD, tag="2", headers={"retries": 1}))
    result = run(cli)
    assert (0, "bridged 2 messages of queue 'celery' (1 retried)\n") == (result.code, result.out)
    assert "bridging queue 'celery' of redis://:***@127.0.0.1:6379/0: about 2 messages" in result.err
    assert (2, True) == (waiting(shop), old.closed)


def test_what_stays_is_listed(cli, shop, old):
    """Exit code 1; what a stranger wrote is escaped."""
    old.put(written([1], **GOOD), written(chain=[1], **GOOD), written(task="shop.\x1b[31m"), b"junk!")
    result = run(cli)
    assert 1 == result.code
    lines = result.out.splitlines()
    assert "3 stay there: 2 unreadable, 1 chain" == lines[1]
    assert any("shop.welcome" in line and "others come after it (chain)" in line for line in lines)
    assert "\x1b" not in result.out
    assert "shop.\\x1b[31m" in result.out


def test_for_programs(cli, shop, old):
    """A line for each that stays, as it is met, and one at the end."""
    old.put(written(["x"], **GOOD), written([1], **GOOD))
    result = run(cli, "--json")
    stays, summary = map(json.loads, result.out.splitlines())
    assert ("shop.welcome", "arguments", "celery") == tuple(stays["stays"][name] for name in ("task", "why", "place"))
    assert {"bridged": 1, "stay": 1, "stay_by_why": {"arguments": 1}, "dry_run": False}.items() <= summary[
        "summary"
    ].items()


def test_a_long_list_is_cut_for_people_only(cli, shop, old, monkeypatch):
    """And says where all of it is."""
    monkeypatch.setattr(bridge, "_SHOWN", 2)
    old.put(*[b"junk!"] * 5)
    result = run(cli)
    assert "there are 3 more; --json names all of them" in result.err
    assert 2 == result.out.count("it is neither JSON nor base64")
    old.left.clear()
    assert 6 == len(run(cli, "--json").out.splitlines())


def test_what_is_behind_others_is_told(cli, shop, old):
    """In a FIFO queue nothing can be read that is behind what stays there; no count of it is a lie."""
    old.put(written(["x"], **GOOD))
    old.behind = 7
    result = run(cli)
    assert "about 7 more weren't looked at: what stays is before them in its group" in result.err
    old.left.clear()
    assert 7 == json.loads(run(cli, "--json").out.splitlines()[-1])["summary"]["held_back"]


def test_a_dry_run(cli, shop, old):
    """Stores nothing, and ends by itself."""
    old.put(written([1], **GOOD))
    result = cli("bridge", "celery", "--from", URL, "--app", "shop", "--dry-run")
    assert (0, "would bridge 1 messages of queue 'celery'\n") == (result.code, result.out)
    assert (0, 1) == (waiting(shop), len(old.there))


def test_the_broker_of_the_environment(cli, shop, old, monkeypatch):
    """Celery's own variable; without it there is nothing to read."""
    assert 2 == cli("bridge", "celery", "--app", "shop", "--idle", "0").code
    monkeypatch.setenv(bridge.BROKER_VARIABLE, "redis://elsewhere/1")
    arguments = ("--queue", "mails", "--key-prefix", "shop:", "--priority-steps", "0, 5")
    assert 0 == cli("bridge", "celery", "--app", "shop", "--idle", "0", *arguments).code
    assert {"url": "redis://elsewhere/1", "queue": "mails", "prefix": "shop:", "steps": [0, 5]} == old.asked


@pytest.mark.parametrize(
    "arguments",
    [
        ("--idle", "soon"),
        ("--timezone", "Mars/Olympus"),
        ("--timezone", "../../etc/passwd"),
        ("--priority-steps", "high"),
        ("--backend", "memory://"),
    ],
)
def test_what_means_nothing_is_refused(cli, shop, old, arguments):
    """Before anything is read."""
    old.put(written([1], **GOOD))
    assert 2 == run(cli, *arguments).code
    assert 1 == len(old.there)


def test_an_old_queue_that_cant_be_reached_any_more(cli, shop, old):
    """Exit code 3, and what was done by then is said."""
    old.put(written([1], **GOOD))
    old.error = BackendUnavailable("the old queue's Redis can't be reached")
    result = run(cli)
    assert 3 == result.code
    assert result.out.startswith("bridged 1 messages")
    assert old.closed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_the_messages_in_hand(cli, shop, old, number, code):
    """What is stored by then is taken out, and said; the handlers are as they were."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    old.put(written([1], **GOOD))
    read = old.read

    def interrupted(wait):
        signal.raise_signal(number)
        return read(wait)

    old.read = interrupted
    result = cli("bridge", "celery", "--from", URL, "--app", "shop")
    assert (code, "bridged 1 messages of queue 'celery'\n") == (result.code, result.out)
    assert [] == old.there
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


def test_a_rest_ends_at_once_where_it_is_to_stop():
    """However long it was to be, and it stays so."""
    stop = bridge._Stop()
    assert not stop.rest(timedelta(0))
    stop.say(signal.SIGTERM, None)
    assert stop.rest(timedelta(days=1))
    assert stop.rest(timedelta(0))
