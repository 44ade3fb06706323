"""Notes on DynamoDB, without a server: what is asked of it; the store conformance kit has the rest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cloudq.core.notes import Note, Written
from cloudq.stores.dynamodb.notes import DynamoNotes
from cloudq.stores.dynamodb.time import MARGIN

DAY = timedelta(days=1)
MICROSECONDS = 1_000_000


class Table:
    """One item, and what was asked."""

    def __init__(self) -> None:
        self.time = 1_000 * MICROSECONDS
        self.item: Mapping[str, Any] | None = None
        self.refuses = False
        self.calls: list[dict[str, Any]] = []

    def now(self) -> int:
        return self.time

    def make(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        self.calls.append(arguments)
        return {} if self.item is None else {"Item": self.item}

    def write(self, method: str, **arguments: Any) -> tuple[bool, Mapping[str, Any] | None]:
        self.calls.append(arguments)
        if self.refuses:
            return False, self.item
        self.item = arguments["Item"]
        return True, None


def test_a_write_is_one_conditional_write() -> None:
    """Where nothing is, or of the version that was seen."""
    table = Table()
    notes = DynamoNotes("app", table)  # type: ignore[arg-type]
    first = notes.write("run 1", b"x", after=0, keep=DAY)
    assert isinstance(first, Written)
    assert isinstance(notes.write("run 1", b"y", after=first.version, keep=DAY), Written)
    assert len(table.calls) == 2
    assert "attribute_not_exists(id)" in table.calls[0]["ConditionExpression"]
    assert table.calls[1]["ExpressionAttributeValues"][":after"] == {"N": str(first.version)}


def test_what_is_refused_comes_with_the_answer() -> None:
    """No second look is needed."""
    table = Table()
    notes = DynamoNotes("app", table)  # type: ignore[arg-type]
    notes.write("run 1", b"x", after=0, keep=DAY)
    table.refuses = True
    found = notes.write("run 1", b"y", after=7, keep=DAY)
    assert isinstance(found, Note)
    assert found.text == b"x"
    assert len(table.calls) == 2


def test_a_note_goes_a_margin_late() -> None:
    """Two processes' ideas of the service's time may lie that far apart."""
    table = Table()
    notes = DynamoNotes("app", table)  # type: ignore[arg-type]
    notes.write("run 1", b"x", after=0, keep=DAY)
    table.time += int((DAY + MARGIN).total_seconds()) * MICROSECONDS - 1
    assert notes.read("run 1") is not None
    table.time += 1
    assert notes.read("run 1") is None


def test_a_read_is_consistent() -> None:
    """It sees every write that ended before."""
    table = Table()
    DynamoNotes("app", table).read("run 1")  # type: ignore[arg-type]
    assert table.calls[0]["ConsistentRead"] is True
