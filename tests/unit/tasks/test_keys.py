"""Keys of messages: what a declaration's template or function gives, and what of it is refused when."""

from __future__ import annotations

import dataclasses

import pytest

from cloudq import App
from cloudq.errors import OptionError, TaskDefinitionError
from cloudq.testing import in_memory, sent
from tests.ids import shown


@pytest.fixture
def app():
    with in_memory(App()) as app:
        yield app


def order(order_id: int, customer: object = None, note: str = "none") -> None: ...


@dataclasses.dataclass
class Buyer:
    name: str
    tags: list[str]


def buy(order_id: int, buyer: Buyer | None = None, note: str = "none") -> None: ...


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("order-{order_id}", "order-7"),
        ("{order_id:05d}/{note!r}", "00007/'none'"),
        ("{buyer.name}-{buyer.tags[1]}", "ada-y"),
        ("{{literal}}-{order_id}", "{literal}-7"),
        ("{order_id:{note}}", "7"),
        (lambda order_id: f"o{order_id}", "o7"),
        (lambda order_id, buyer, note: f"{order_id}{buyer.name}{note}", "7adanone"),
        (lambda **arguments: ",".join(sorted(arguments)), "buyer,note,order_id"),
    ],
    ids=shown,
)
def test_a_declared_key_is_made_from_the_typed_arguments(app, key, expected):
    """A template sees attributes, items and defaults; a function is given what it asks for by name."""
    task = app.task("keyed", idempotency_key=key)(buy)
    note = {"note": "d"} if key == "{order_id:{note}}" else {}
    task.send(order_id=7, buyer=Buyer("ada", ["x", "y"]), **note)
    assert expected == sent(app)[0].idempotency_key


@pytest.mark.parametrize(
    ("option", "key", "why"),
    [
        ("idempotency_key", "{ordr_id}", "no parameter 'ordr_id': did you mean 'order_id'"),
        ("ordering_key", "{customer.id}-{nobody}", "no parameter 'nobody'"),
        ("idempotency_key", "{order_id:{width}}", "no parameter 'width'"),
        ("idempotency_key", "{}", "no parameter ''"),
        ("idempotency_key", "{0}", "no parameter '0'"),
        ("idempotency_key", "{order_id", "is no template"),
        ("idempotency_key", "order_id}", "is no template"),
        ("idempotency_key", "always the same", "names no parameter"),
        ("idempotency_key", "", "names no parameter"),
        ("ordering_key", 5, "is a text or a function"),
        ("idempotency_key", lambda ordr_id: "x", "takes 'ordr_id'"),
        ("ordering_key", lambda nobody="x": nobody, "takes 'nobody'"),
        ("ordering_key", lambda *args: "x", "not by name"),
        ("ordering_key", lambda order_id, /: "x", "not by name"),
    ],
    ids=shown,
)
def test_a_key_that_could_only_fail_later_is_refused_at_declaration(app, option, key, why):
    """Names are checked against the signature where they are written."""
    with pytest.raises(TaskDefinitionError, match=why):
        app.task("t", **{option: key})(order)
    assert {} == dict(app.tasks)


def raising(order_id: int) -> str:
    raise LookupError("no such order")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("{customer.name}", "AttributeError"),
        ("{order_id:x<600}", "1 to 512 characters"),
        (lambda order_id: "", "1 to 512 characters"),
        (lambda order_id: order_id, "not 7"),
        (lambda order_id: None, "not None"),
        (lambda order_id: "\ud800", "1 to 512"),
        (lambda order_id: "a\0b", "without NUL"),
        (raising, "LookupError: no such order"),
        ("{order_id:nonsense}", "ValueError"),
    ],
    ids=shown,
)
def test_a_key_that_cannot_be_made_refuses_the_send(app, key, why):
    """A failing or empty key is an OptionError before anything is stored."""
    task = app.task("t", idempotency_key=key)(order)
    with pytest.raises(OptionError, match=why):
        task.send(7)
    assert [] == sent(app)


def test_a_key_of_the_send_replaces_the_declared_one(app):
    """The declared key isn't even made, so it can't fail."""
    task = app.task("t", idempotency_key=raising)(order)
    task.options(idempotency_key="own").send(7)
    assert "own" == sent(app)[0].idempotency_key
