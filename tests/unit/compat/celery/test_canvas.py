"""Calls for later, and the canvas."""

from __future__ import annotations

import celery.canvas
import pytest

from cloudq.compat.celery import Signature, canvas, chain, chord, chunks, group, xmap, xstarmap
from cloudq.errors import UnsupportedError
from tests.unit.compat.celery.reading import public


def test_arguments_of_the_call_go_before_its_own(app) -> None:
    """As with Celery; an immutable one takes none."""
    app.conf.task_always_eager = True
    task = app.task(name="t")(lambda a, b, c=0: (a, b, c))
    assert (1, 2, 3) == task.s(2).delay(1, c=3).get()
    assert (1, 2, 0) == task.si(1, 2).delay(9).get()
    assert (1, 2, 4) == task.signature((1, 2), immutable=True).clone((9,)).set(immutable=False)(c=4)
    partial = task.s(2).set(queue="q")
    assert ("t", (2,), {"queue": "q"}, False) == (partial.task, partial.args, partial.options, partial.immutable)
    assert (5, 2, 0) == partial.clone((5,), countdown=1).apply().get()
    assert (1, 2, 3) == task.s(1, 2).apply(None, {"c": 3}).get() == task.s(1, 2).apply_async(None, {"c": 3}).get()
    assert "<Signature: t>" == repr(partial)


def test_none_stands_for_no_arguments_and_no_option(app) -> None:
    """As with Celery, where `sig.apply_async(None, {...})` is usual."""
    app.conf.task_always_eager = True
    task = app.task(name="t", bind=True)(lambda self, a, b=0: (a, b, self.request.headers))
    made = task.signature(None, {"a": 1}).set(headers={"tenant": "x"})
    assert (1, 2, {"tenant": "x"}) == made.apply_async(None, {"b": 2}, headers=None).get()
    assert (1, 0, {"tenant": "x"}) == made.apply(None, None, headers=None).get()
    assert (1, 0) == Signature(task, None, {"a": 1}).clone(None)()[:2]


@pytest.mark.parametrize("part", [chain, chord, chunks, group, xmap, xstarmap])
def test_the_canvas_is_refused_by_name(part) -> None:
    """When it is called: a module that imports it is imported."""
    with pytest.raises(UnsupportedError, match=f"Celery's {part.__name__} can't be honoured"):
        part()


def test_a_bar_makes_no_chain(app) -> None:
    """It is refused as one."""
    task = app.task(name="t")(lambda: None)
    with pytest.raises(UnsupportedError, match="Celery's chain"):
        task.s() | task.s()


def test_what_else_celerys_has_says_what_to_do(app) -> None:
    """Every part of the canvas, and every method of a signature."""
    made = app.task(name="t")(lambda: None).s()
    for name in public(celery.canvas.Signature) - {"clear", "copy", "get", "items", "keys", "pop", "update", "values"}:
        if not hasattr(Signature, name) and name not in vars(made):
            with pytest.raises(AttributeError, match="; hint: "):
                getattr(made, name)
    parts = {"Signature", "chain", "xmap", "xstarmap", "chunks", "group", "chord"}
    assert set() == {name for name in parts if not hasattr(canvas, name)}
