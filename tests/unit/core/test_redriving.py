"""What a message says of having been redriven and edited: it survives copies, and a stranger's text isn't believed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.failure import Failure
from cloudq.core.message import LARGEST_COUNT, Message
from cloudq.core.redriving import (
    EDITS,
    MOST_EDITS,
    REDRIVEN,
    Edit,
    edits_of,
    former_fingerprints,
    redriven_copy,
    times_redriven,
    with_edit,
)

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def message(**extensions: object) -> Message:
    return Message(id="1", task="t", queue="q", extensions=extensions)


def edit(number: int = 0, **fields: object) -> Edit:
    given = {"at": AT, "by": f"ann {number}", "what": ["payload"], "was": f"{number:064x}"}
    return Edit(**{**given, **fields})  # type: ignore[arg-type]  # a test's own values


def test_each_redrive_counts_one() -> None:
    """In what travels, through retries, and not in what was never redriven."""
    again = redriven_copy(redriven_copy(message(), None), Failure(reason="r", generation=7))
    arrived = wire.decode(wire.encode(again.retry_copy(attempt_base=1, not_before=None)), "q")
    assert (0, 2) == (times_redriven(message(), None), times_redriven(arrived, None))
    assert (8, 0) == (again.generation, again.attempt_base)


def test_the_count_beside_the_body_holds_where_the_body_says_less() -> None:
    """Of what can't be decoded, or was moved back by the service, unchanged."""
    beside = Failure(reason="r", redriven=3)
    assert 3 == times_redriven(None, beside)
    assert 3 == times_redriven(message(**{REDRIVEN: 1}), beside)
    assert 4 == times_redriven(redriven_copy(message(), beside), None)


@pytest.mark.parametrize("said", ["many", "12345678901", -1, True, 1.5, [1], {"a": 1}, None, LARGEST_COUNT + 1])
def test_what_is_no_count_is_none(said: object) -> None:
    """A stranger may have written it."""
    assert 0 == times_redriven(message(**{REDRIVEN: said}), None)


def test_a_text_of_digits_is_a_count() -> None:
    """Some SDKs write every extension attribute as a text."""
    assert 12 == times_redriven(message(**{REDRIVEN: "12"}), None)


def test_the_count_ends_at_its_largest() -> None:
    """It fits an Integer of CloudEvents."""
    full = message(**{REDRIVEN: LARGEST_COUNT})
    assert LARGEST_COUNT == times_redriven(redriven_copy(full, None), None)


def test_edits_arrive_in_their_order() -> None:
    """When, by whom, what, and what the payload was; through the wire and copies."""
    edited = with_edit(with_edit(message(), edit(1)), edit(2))
    arrived = wire.decode(wire.encode(redriven_copy(edited, None)), "q")
    assert [edit(1), edit(2)] == [replace(one, what=list(one.what)) for one in edits_of(arrived)]
    assert {edit(1).was, edit(2).was} == former_fingerprints(arrived)


def test_the_latest_edits_are_kept() -> None:
    """A message doesn't grow with each edit; nor does a name."""
    edited = message()
    for number in range(MOST_EDITS + 3):
        edited = with_edit(edited, edit(number))
    assert [f"ann {number}" for number in range(3, MOST_EDITS + 3)] == [one.by for one in edits_of(edited)]
    assert 200 == len(edits_of(with_edit(message(), edit(by="x" * 1000)))[0].by)


@pytest.mark.parametrize("said", ["", "no json", "{}", '[{"at": 1}]', "[" * 10_000, 7, None, "[" + " " * 20_000 + "]"])
def test_what_are_no_edits_are_none(said: object) -> None:
    """A stranger may have written them; however deep and long, they cost little."""
    forged = message(**{EDITS: said})
    assert () == edits_of(forged)
    assert frozenset() == former_fingerprints(forged)


def test_a_message_without_extensions_has_none() -> None:
    """As nearly all."""
    assert (0, (), frozenset()) == (
        times_redriven(message(), None),
        edits_of(message()),
        former_fingerprints(message()),
    )


def test_edits_are_not_read_from_a_text_that_is_too_long() -> None:
    """Ten of ours never are; a worker reads it for each message with a key."""
    written = with_edit(message(), edit()).extensions[EDITS]
    assert isinstance(written, str)
    padded = written.replace("ann 0", "x" * 20_000)
    assert () == edits_of(message(**{EDITS: padded}))
    assert 1 == len(edits_of(message(**{EDITS: written.replace("ann 0", "x" * 10_000)})))
