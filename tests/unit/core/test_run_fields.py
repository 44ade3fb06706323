"""What everything carries that is logged while a delivery is worked on."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading

import pytest

from cloudq.core.run_fields import RUN_FIELDS, RunFields, add_run_field, note_error, trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_within_the_block_they_say_what_is_worked_on() -> None:
    """And nowhere else; within another delivery's block they are that one's."""
    with RunFields("shop.pay", "1", "mail", 2, PARENT):
        assert {"task": "shop.pay", "id": "1", "queue": "mail", "attempt": 2, "trace_id": TRACE} == RUN_FIELDS.get()
        with RunFields(None, "2", "q", 1):
            assert {"id": "2", "queue": "q", "attempt": 1} == RUN_FIELDS.get()
        assert "1" == (RUN_FIELDS.get() or {})["id"]
    assert RUN_FIELDS.get(None) is None


def test_names_are_cut() -> None:
    """They come from senders, who may make them as long as a body."""
    fields = RunFields("t" * 300, "i" * 300, "q", 1)
    assert [200, 200] == [len(str(fields[name])) for name in ("task", "id")]


def test_others_may_add_to_them() -> None:
    """Those that trace a run, say; where nothing is worked on there is nothing to add to."""
    add_run_field("trace_id", "none")
    with RunFields("t", "1", "q", 1) as fields:
        add_run_field("trace_id", TRACE)
        assert TRACE == fields["trace_id"]


def test_what_was_raised_is_let_go_with_the_block() -> None:
    """Its traceback holds on to the variables of the task."""
    note_error(ValueError("of nobody"))
    with RunFields("t", "1", "q", 1) as fields:
        note_error(error := ValueError("x"))
        assert error is fields.error
    assert fields.error is None


def test_asyncio_hands_them_to_the_tasks_that_a_coroutine_starts() -> None:
    """And `asyncio.to_thread` to its thread; a thread of one's own takes a copy of the context."""
    seen: list[object] = []

    async def other() -> None:
        seen.append((RUN_FIELDS.get() or {})["id"])
        seen.append(await asyncio.to_thread(lambda: (RUN_FIELDS.get() or {})["id"]))

    async def work() -> None:
        with RunFields("t", "1", "q", 1):
            await asyncio.create_task(other())

    asyncio.run(work())
    with RunFields("t", "2", "q", 1):
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: seen.append(context.run(lambda: (RUN_FIELDS.get() or {})["id"])))
        thread.start()
        thread.join()
    assert ["1", "1", "2"] == seen


def test_a_block_that_is_left_in_another_context_harms_nothing() -> None:
    """A coroutine that nobody awaits to its end is closed by the garbage collector."""
    fields = RunFields("t", "1", "q", 1)
    contextvars.copy_context().run(fields.__enter__)
    fields.__exit__(None, None, None)
    assert RUN_FIELDS.get(None) is None


def test_they_are_plain_json() -> None:
    """For whoever writes them."""
    assert {"id": "1", "queue": "q", "attempt": 1} == json.loads(json.dumps(RunFields(None, "1", "q", 1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PARENT, TRACE),
        (PARENT.replace("00-", "cc-", 1) + "-more", TRACE),
        ("", None),
        (PARENT[:-1], None),
        (PARENT.upper(), None),
        (PARENT + "\n", None),
    ],
)
def test_a_trace_is_named_as_w3c_says(text: str, expected: str | None) -> None:
    """Whatever else stands there is a sender's, and no trace."""
    assert expected == trace_id(text)
