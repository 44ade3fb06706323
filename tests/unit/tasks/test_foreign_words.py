"""The words of other task queues on our objects."""

from __future__ import annotations

import copy
import inspect
import pickle
from unittest.mock import create_autospec

import pytest

import cloudq
from cloudq.tasks import foreign_words

app = cloudq.App("memory://")


@app.task("foreign-words.ok")
def ok(x: int) -> None:
    """Does nothing."""


THINGS = {
    "task": (ok, foreign_words.TASK),
    "sent": (cloudq.Sent(id="1"), foreign_words.SENT),
    "call": (ok.call(x=1), foreign_words.CALL),
    "app": (app, foreign_words.APP),
}
WORDS = [(thing, word) for thing, (_, words) in THINGS.items() for word in words]


@pytest.mark.parametrize(("thing", "word"), WORDS)
def test_a_foreign_word_names_ours(thing, word):
    """It stays an AttributeError, for `hasattr` as for `getattr` with a default, and its text ends with our word."""
    value, words = THINGS[thing]
    assert not hasattr(value, word)
    assert getattr(value, word, None) is None
    with pytest.raises(AttributeError) as raised:
        getattr(value, word)
    text = f"{type(value).__name__!r} object has no attribute {word!r}; hint: {words[word]}"
    assert (text, word, value) == (str(raised.value), raised.value.name, raised.value.obj)


@pytest.mark.parametrize("thing", THINGS)
def test_any_other_word_is_pythons_own(thing):
    """What no task queue calls anything has no hint."""
    value, _ = THINGS[thing]
    with pytest.raises(AttributeError) as raised:
        value.zzz  # noqa: B018 - it raises
    assert f"{type(value).__name__!r} object has no attribute 'zzz'" == str(raised.value)


def test_copies_pickles_and_looks_are_as_before():
    """Nothing that asks an object for its abilities gets another answer."""
    sent = cloudq.Sent(id="1", duplicate=True, receipt="r")
    assert sent == pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own bytes
    assert sent == copy.deepcopy(sent) == copy.copy(sent)
    assert ok is copy.deepcopy(ok)
    assert ["x"] == list(inspect.signature(ok).parameters)
    assert not inspect.isawaitable(sent)
    assert not hasattr(ok, "__html__")
    create_autospec(ok)
    half_made = cloudq.Task.__new__(cloudq.Task)
    with pytest.raises(AttributeError, match="object has no attribute 'delay'; hint: "):
        half_made.delay(1)
