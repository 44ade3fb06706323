"""Calls that send, however they are given their options."""

from __future__ import annotations

import ast

import pytest

from cloudq.compat.celery.report.sends import Sends


def of(source: str) -> set[tuple[str, str, str]]:
    """What the calls of a source ask for, with the verdicts."""
    tree = ast.parse(source)
    sends = Sends(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        (one.kind, one.name, one.verdict.name) for node in calls for one in sends.read(node, "f.py:1", has_celery=True)
    }


@pytest.mark.parametrize(
    ("source", "findings"),
    [
        ("t.apply_async(**opts)", {("call", "**opts", "CHANGES")}),
        ("t.apply_async(**self.opts())", {("call", "**self.opts()", "CHANGES")}),
        ("t.apply_async(**{'link': x})", {("call", "link", "REFUSED")}),
        (
            "opts = {'link': x}\nt.apply_async(**{**opts, 'queue': 'q', **more()})",
            {
                ("call", "**opts", "CHANGES"),
                ("call", "**more()", "CHANGES"),
                ("call", "link", "REFUSED"),
                ("call", "queue", "MAPS"),
            },
        ),
        ("app.send_task('a', **opts)", {("call", "**opts", "CHANGES")}),
        ("self.retry(**opts)", {("retry", "**opts", "CHANGES")}),
        (
            "opts = {'task_id': i, 'queue': 'q'}\nopts['link'] = x\nt.apply_async(**opts)",
            {
                ("call", "**opts", "CHANGES"),
                ("call", "task_id", "REFUSED"),
                ("call", "queue", "MAPS"),
                ("call", "link", "REFUSED"),
            },
        ),
        (
            "opts = dict(serializer='pickle')\nt.s().set(**opts)",
            {("call", "**opts", "CHANGES"), ("call", "serializer", "REFUSED")},
        ),
        ("partial(t.apply_async, queue='q', link=x)", {("call", "queue", "MAPS"), ("call", "link", "REFUSED")}),
        ("functools.partial(app.send_task, 'a', task_id=i)", {("call", "task_id", "REFUSED")}),
        ("pool.submit(t.apply_async, (1,), countdown=5)", {("call", "countdown", "MAPS")}),
        ("on_commit(partial(t.apply_async, **opts))", {("call", "**opts", "CHANGES")}),
        ("t.apply_async((1,), {}, i)", {("call", "task_id by position", "REFUSED")}),
        (
            "app.send_task('a', (), {}, 5, when)",
            {("call", "countdown by position", "REFUSED"), ("call", "eta by position", "REFUSED")},
        ),
        ("t.apply_async(*args)", set()),
        ("partial(t.delay, 1)", set()),
        ("partial(f, queue='q')", set()),
        ("self.pool.apply_async(f, (1,), {}, g)", set()),
        ("partial(pool.apply_async, f, callback=g)", set()),
    ],
)
def test_an_option_is_found_however_it_is_given(source, findings) -> None:
    """By name, in a mapping of the file's, by position, to what calls it later. Pools have an `apply_async`, too."""
    assert findings == of(source)
