"""Looking at dead letters: pages, conditions, groups; nothing is taken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.errors import OptionError
from cloudq.queues.letters import looking
from tests.unit.queues.letters.letters import a_failure, a_message, a_queue, bury


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch):
    """Ten of two tasks in turn, read in pages of three."""
    monkeypatch.setattr(looking, "PAGE", 3)
    queue, driver, clock = a_queue()
    tasks = ("shop.welcome", "shop.report")
    bury(driver, clock, *(wire.encode(a_message(id=str(number), task=tasks[number % 2])) for number in range(10)))
    return queue.dead_letters


def test_a_condition_chooses_across_pages(letters) -> None:
    """Oldest first, no more than the limit, from behind a key."""
    assert list("02468") == [dead.id for dead in letters.select("task=shop.welcome")]
    first = list(letters.select("task=shop.welcome", limit=3))
    assert list("024") == [dead.id for dead in first]
    assert list("68") == [dead.id for dead in letters.select("task=shop.welcome", after=first[-1].key)]
    assert [] == list(letters.select(limit=0))


@pytest.mark.parametrize("limit", [-1, 1.5, "1"])
def test_what_is_no_limit_is_refused(letters, limit) -> None:
    """Before anything is read or taken. -1, which means all to other programs, isn't none either."""
    for call in (letters.select, letters.peek, letters.export, letters.redrive, letters.purge):
        with pytest.raises(OptionError, match="a limit is a whole number of dead letters, from 0"):
            call(limit=limit)
    with pytest.raises(OptionError, match="from 0"):
        letters.load([], by="ann", limit=limit)
    assert 10 == len(list(letters))


def test_all_are_those_without_a_condition(letters) -> None:
    """By iterating as well."""
    assert list("0123456789") == [dead.id for dead in letters] == [dead.id for dead in letters.select()]


def test_no_more_is_read_than_is_wanted(letters) -> None:
    """A limited look at very many ends with its page."""
    pages: list[str | None] = []
    peek = letters._dead.peek
    letters._dead.peek = lambda *, limit, after=None: pages.append(after) or peek(limit=limit, after=after)
    next(letters.select())
    list(letters.select(limit=2))
    assert [None, None] == pages


def test_groups_are_of_a_condition_too(letters) -> None:
    """Counted, not taken."""
    assert [("shop.welcome", 5), ("shop.report", 5)] == [(one.task, one.count) for one in letters.groups()]
    assert [("shop.report", 5)] == [(one.task, one.count) for one in letters.groups("task=*report")]
    (group,) = letters.groups("task=*report")
    assert 5 == len(list(letters.select(f"group={group.fingerprint}")))
    assert 10 == letters.redrive().redriven


def test_an_export_is_a_look(letters) -> None:
    """A line each, and all are still there."""
    assert 5 == len(list(letters.export("task=shop.report")))
    assert 2 == len(list(letters.export(limit=2)))
    assert 10 == len(list(letters))


def test_a_condition_that_means_nothing_is_refused_at_once(letters) -> None:
    """Not when the first is read."""
    with pytest.raises(OptionError):
        letters.select("tusk=x")


def test_a_time_ago_is_by_the_apps_clock() -> None:
    """Which tests may have set."""
    queue, driver, clock = a_queue()
    bury(driver, clock, wire.encode(a_message(id="old")), failure=a_failure(last_at=None))
    clock.advance(timedelta(hours=3))
    bury(driver, clock, wire.encode(a_message(id="new")), failure=a_failure(last_at=None))
    assert ["old"] == [dead.id for dead in queue.dead_letters.select("dead<2h")]
    assert ["new"] == [dead.id for dead in queue.dead_letters.select("dead>2h")]


@pytest.mark.parametrize(
    ("hiding", "unseen", "looks", "gets"), [(False, False, 0, 4), (True, False, 5, 0), (True, True, 5, 1)]
)
def test_keys_are_found_by_one_look_where_each_look_reads_all(letters, hiding, unseen, looks, gets) -> None:
    """In five pages here, however many the keys are; one by one only what lies behind the bound of such a look."""
    third, first, second = (letters.peek(limit=3)[place].key for place in (2, 0, 1))
    dead, pages, asked = letters._dead, [], []
    peek, get = dead.peek, dead.get
    dead.peek = lambda *, limit, after=None: pages.append(after) or peek(limit=limit, after=after)
    dead.get = lambda key: asked.append(key) or get(key)
    if hiding:
        dead.hides_for, dead.unseen = timedelta(minutes=1), unseen
    found = list(letters.find([third, first, "none", second]))
    assert [(third, "2"), (first, "0"), ("none", None), (second, "1")] == [(key, one and one.id) for key, one in found]
    assert (looks, gets) == (len(pages), len(asked))
    pages.clear()
    done = letters.edit(lambda message: replace(message, task="x"), [first, second, third], by="ann", dry_run=True)
    assert (3, looks) == (done.chosen, len(pages))


def test_keys_that_are_none_are_refused_at_once(letters) -> None:
    """Not when the first is read."""
    with pytest.raises(OptionError, match="keys are a list"):
        letters.find("12")


def test_where_to_look_is_to_hide_is_told(letters) -> None:
    """By the backend's dead letters themselves; in memory it isn't so."""
    assert letters.hides_for is None
    letters._dead.hides_for = timedelta(minutes=1)
    assert timedelta(minutes=1) == letters.hides_for
