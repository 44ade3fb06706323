"""A send by a name that is nearly that of a task of this program warns, once a name, and stores the message."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from cloudq.app import App
from cloudq.errors import UnknownTaskError
from cloudq.testing import in_memory


@pytest.fixture
def app():
    """An app with two tasks, one of them with an alias."""
    app = App("sqs://never-opened")
    app.task("shop.tasks.mail", aliases=["shop.letters.post"])(lambda to="x": None)
    app.task("shop.tasks.pack")(lambda to="x": None)
    with in_memory(app):
        yield app


def warned(app: App, *names: str) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in names:
            app.send(name, {"to": "x"})
    assert {(entry.category, entry.filename) for entry in caught} <= {(RuntimeWarning, __file__)}
    return [str(entry.message) for entry in caught]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("shop.tasks.mial", "shop.tasks.mail"),
        ("shop.task.mail", "shop.tasks.mail"),
        ("Shop.Tasks.Mail", "shop.tasks.mail"),
        ("shop.letter.post", "shop.letters.post"),
        ("tasks.pack", "shop.tasks.pack"),
        ("app.shop.tasks.pack", "shop.tasks.pack"),
    ],
)
def test_a_name_that_is_near_warns_at_the_senders_line(app, name, near):
    """A slip, another spelling, and the same task as seen from another folder."""
    said = [text.partition(" (")[0] for text in warned(app, name)]
    assert [f"this program has no task {name!r}; did you mean {near!r}?"] == said
    assert 1 == app.queue("default").stats().ready, "it may live in another program"


@pytest.mark.parametrize(
    "name", ["shop.tasks.mail", "shop.letters.post", "blog.tasks.mail", "billing.charge", "x", "mail2"]
)
def test_a_known_name_and_one_that_is_far_do_not(app, name):
    """Another program's names are often of the same build."""
    assert [] == warned(app, name)


def test_it_warns_once_a_name(app):
    """Also after more tasks were imported; a name that they are near to is told then."""
    assert 1 == len(warned(app, "shop.tasks.mial", "shop.tasks.mial"))
    assert 1 == len(warned(app, "shop.tasks.male"))
    assert [] == warned(app, "billing.charge")
    app.task("billing.charges")(lambda to: None)
    assert 1 == len(warned(app, "billing.charge", "shop.tasks.mial", "billing.charge"))


def test_other_apps_tasks_do_not_count(app):
    """And each App warns for itself."""
    other = App("memory://")
    other.task("billing.charges")(lambda to: None)
    assert [] == warned(app, "billing.charge")
    with in_memory(other):
        assert 1 == len(warned(other, "billing.charge"))


def test_async_sends_warn_too(app):
    """asend is no other way."""
    with pytest.warns(RuntimeWarning, match="did you mean"):
        asyncio.run(app.asend("shop.tasks.mial", {"to": "x"}))


def test_what_is_refused_is_not_warned_of(app):
    """An error says it all: in eager mode there is no other program."""
    with app.eager(), pytest.raises(UnknownTaskError, match=r"did you mean 'shop\.tasks\.mail'"):
        app.send("shop.tasks.mial", {"to": "x"})
