"""Each of RQ's words has its answer: the tables, held to the signatures and attributes of the RQ that is installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import rq
from rq.decorators import job as rq_job
from rq.job import Job as RqJob

from cloudq.compat import rq as ours
from cloudq.compat.rq import Connection, Job, Queue, Worker
from cloudq.compat.rq.decorators import job
from cloudq.compat.rq.words import DECORATOR, DELAY, ENQUEUE, JOB, PACKAGE, QUEUE, WORK, WORKER
from tests import rq_options


def parameters(function: Callable[..., Any], *without: str) -> set[str]:
    """Those that have a name, `self` and what is the function's own left out."""
    found = inspect.signature(function).parameters.values()
    return {p.name for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} - {"self", *without}


def public(kind: type, *instances: object) -> set[str]:
    """The names of a class and of what it makes that aren't private."""
    return {name for name in (*dir(kind), *(n for one in instances for n in vars(one))) if not name.startswith("_")}


class FakeRedis:
    """As much of a connection as RQ's objects are made with."""

    def __bool__(self) -> bool:
        return True


THEIRS = {
    "package": (set(rq.__all__), PACKAGE),
    "enqueue": (
        parameters(rq.Queue.enqueue_call, "func", "args", "kwargs", "timeout") | {"job_timeout"},
        ENQUEUE,
    ),
    "parse_args": (parameters(rq.Queue.prepare_data, "func", "args", "kwargs", "timeout"), ENQUEUE),
    "decorator": (parameters(rq_job.__init__), DECORATOR),
    "queue": (public(rq.Queue, rq.Queue(connection=FakeRedis())) | parameters(rq.Queue.__init__), QUEUE),
    "job": (public(RqJob, RqJob(connection=FakeRedis())), JOB),
    "worker": (public(rq.Worker) | parameters(rq.Worker.__init__), WORKER),
    "work": (parameters(rq.Worker.work), WORK),
}


@pytest.mark.parametrize("kind", sorted(THEIRS))
def test_each_of_rqs_words_has_an_answer(kind: str) -> None:
    """Whatever is new in a release of RQ's fails here, and not in a program."""
    theirs, table = THEIRS[kind]
    assert theirs
    assert set() == theirs - table.names


@pytest.mark.parametrize("kind", sorted(set(THEIRS) - {"parse_args"}))
def test_no_answer_is_about_a_word_that_rq_has_not(kind: str) -> None:
    """And each has one answer."""
    theirs, table = THEIRS[kind]
    assert set() == table.names - theirs
    assert len(table.names) == len(table.maps) + len(table.changes) + len(table.refused)


def test_what_delay_takes_out_of_its_arguments_is_refused() -> None:
    """From RQ's source: it pops these."""
    source = inspect.getsource(rq_job.__call__)
    assert {name for name in ENQUEUE.names if f"kwargs.pop('{name}'" in source} == DELAY.names


@pytest.mark.parametrize(
    ("table", "kind", "made"),
    [
        (QUEUE, Queue, lambda: Queue("q", connection=Connection("pages"))),
        (JOB, Job, lambda: Job(Connection("pages"), "id")),
        (WORKER, Worker, lambda: Worker("q", connection=Connection("pages"))),
    ],
    ids=["queue", "job", "worker"],
)
def test_what_maps_is_there_and_what_is_refused_says_what_to_do(table, kind, made) -> None:
    """Refused by an AttributeError, so that `hasattr` tells the truth."""
    one = made()
    there = public(kind, one) | parameters(kind.__init__)
    assert set() == {*table.maps, *table.changes} - there - {"is_async", "log_job_description"}
    for name, instead in table.refused.items():
        with pytest.raises(AttributeError) as refused:
            getattr(one, name)
        assert f"has no {name!r}; hint: {instead}" in str(refused.value)


@pytest.mark.parametrize(("table", "function"), [(DECORATOR, job.__init__), (WORK, Worker.work)], ids=["job", "work"])
def test_an_option_that_maps_is_a_parameter(table, function) -> None:
    """By RQ's own name."""
    assert {*table.maps, *table.changes} == parameters(function)


def test_rqs_other_names_say_what_there_is_instead() -> None:
    """As an import that doesn't work, and tells."""
    assert {*PACKAGE.maps, *PACKAGE.changes} <= set(ours.__all__)
    for name, instead in PACKAGE.refused.items():
        with pytest.raises(AttributeError, match=f"has no '{name}'; hint: ") as refused:
            getattr(ours, name)
        assert instead in str(refused.value)
    with pytest.raises(AttributeError, match=r"has no 'nobody'$"):
        _ = ours.nobody


def test_the_page_of_words_is_current() -> None:
    """`python -m tests.option_pages --write` writes it from the tables."""
    assert rq_options.page() == rq_options.PAGE.read_text(encoding="utf-8")
