"""What a declaration says of idempotency keys."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.core import wire
from cloudq.errors import TaskDefinitionError
from cloudq.tasks.key_options import NO_KEY_OPTIONS, KeyOptions


def options_of(**options):
    app = App("memory://")
    app.task("t", **options)(lambda order, requested_at=None: None)
    return app.runtime.handlers["t"].key_options


def test_nothing_said_is_the_safe_way():
    """Unique until its success, compared as a whole, and never run without its claim."""
    assert NO_KEY_OPTIONS is options_of()
    assert ("success", frozenset(), "wait") == (
        NO_KEY_OPTIONS.unique_until,
        NO_KEY_OPTIONS.ignore,
        NO_KEY_OPTIONS.on_store_error,
    )


def test_what_is_said_is_kept():
    """Each of them."""
    said = options_of(unique_until="start", idempotency_ignore=["requested_at"], on_store_error="run")
    assert KeyOptions(unique_until="start", ignore=frozenset({"requested_at"}), on_store_error="run") == said


WRONG = [
    ({"unique_until": "end"}, "unique_until of task 't' is 'success' or 'start', not 'end'"),
    ({"unique_until": None}, "not None"),
    ({"on_store_error": "skip"}, "on_store_error of task 't' is 'wait' or 'run', not 'skip'"),
    ({"idempotency_ignore": "requested_at"}, "names parameters, not 'requested_at'"),
    ({"idempotency_ignore": 3}, "names parameters, not 3"),
    ({"idempotency_ignore": {"requested"}}, "has no parameter 'requested': did you mean 'requested_at'"),
]


@pytest.mark.parametrize(("options", "why"), WRONG, ids=range(len(WRONG)))
def test_what_means_nothing_is_refused_at_the_declaration(options, why):
    """Before a message could be dead-lettered for it."""
    with pytest.raises(TaskDefinitionError, match=why):
        options_of(**options)


# ── fingerprints ─────────────────────────────────────────────────────────────────────────────────────────

PAYLOAD = {"order": 42, "items": [{"b": 1, "a": 2.5}, "ü"], "note": None}


def test_the_same_payload_has_the_same_fingerprint_however_it_is_written():
    """Whatever the order of its names, at any depth, and after its way through the wire."""
    other = {"note": None, "items": [{"a": 2.5, "b": 1}, "ü"], "order": 42}
    arrived = wire.decode_payload(wire.encode_payload(other))
    assert 1 == len({NO_KEY_OPTIONS.fingerprint(payload) for payload in (PAYLOAD, other, arrived)})
    assert 32 == len(NO_KEY_OPTIONS.fingerprint(PAYLOAD))


@pytest.mark.parametrize(
    "other",
    [{**PAYLOAD, "order": 43}, {**PAYLOAD, "order": "42"}, {**PAYLOAD, "more": 1}, {"order": 42}, {}],
    ids=range(5),
)
def test_another_payload_has_another(other):
    """By its value, its type, or what is there at all."""
    assert NO_KEY_OPTIONS.fingerprint(PAYLOAD) != NO_KEY_OPTIONS.fingerprint(other)


def test_what_is_ignored_makes_no_difference():
    """Whether it is there or not; all else does."""
    options = KeyOptions(ignore=frozenset({"note"}))
    prints = [options.fingerprint(payload) for payload in (PAYLOAD, {**PAYLOAD, "note": 1}, {**PAYLOAD, "order": 1})]
    without = options.fingerprint({name: value for name, value in PAYLOAD.items() if name != "note"})
    assert prints[0] == prints[1] == without != prints[2]
