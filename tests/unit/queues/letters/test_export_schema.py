"""The page and the JSON Schema of the dead-letter export say what export writes, and what import takes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.driver import Final as FinalCall
from cloudq.core.driver import NativeDeadLetter, Outgoing
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.drivers.memory.driver import MemoryDriver
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing.clock import FakeClock

REFERENCE = Path(__file__).parents[4] / "docs" / "reference"
PAGE = (REFERENCE / "dead-letter-export.md").read_text(encoding="utf-8")
SCHEMA = json.loads((REFERENCE / "dead-letter-export.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
(EXAMPLE,) = map(json.loads, re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))

QUEUE = "emails"
AT = datetime(2026, 1, 31, 3, 10, tzinfo=UTC)
FULL = Failure(
    reason="gave up \N{SNOWMAN}", error_type="ValueError", error_message="no such user", traceback="…\nValueError",
    attempts=5, deliveries=6, first_at=AT - timedelta(hours=1), last_at=AT, worker="host:7", generation=4,
    waiting_since=AT, unknown_since=AT, waited=timedelta(minutes=90, microseconds=1), redriven=3,
)  # fmt: skip
MESSAGE = Message(id="7", task="shop.welcome", queue=QUEUE, source="web", payload={"user_id": 42})
BODIES = {
    "a message": wire.encode(MESSAGE),
    "text": b"not \xe2\x98\x83 ours",
    "bytes": b"\x00\xff\xfe",
    "nothing": b"",
    "what lines are split at": "a\r\nb\N{LINE SEPARATOR}c\x0bd\x85e".encode(),
}


def exported(body: bytes, failure: Failure = FULL) -> list[dict[str, Any]]:
    """What export writes of a message with that body that died."""
    driver = MemoryDriver(clock=FakeClock())
    (stored,) = driver.send([Outgoing(id="1", queue=QUEUE, body=body)])
    assert stored.error is None
    (delivery,) = driver.receive(QUEUE, limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
    driver.settle([FinalCall(lease=delivery.lease, step=NativeDeadLetter(failure=failure))])
    lines = list(CloudQueue(QUEUE, driver, clock=driver._clock).dead_letters.export())
    driver.close()
    assert not any(b"\n" in line for line in lines)
    return [json.loads(line) for line in lines]


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading of the page, by the names in them."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| `"
    ]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("failure", [FULL, Failure(reason="")], ids=["full", "bare"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_export_writes_fits_the_schema(body: bytes, failure: Failure) -> None:
    """Whatever the body is: one line, valid, and without a member that the page doesn't have."""
    (line,) = exported(body, failure)
    VALIDATOR.validate(line)
    assert set(line) <= set(rows("Members"))
    assert line["format"] == 1


def test_what_is_always_there_is_always_there() -> None:
    """The page says so of the same members as the schema of a line that export wrote shows."""
    always = {name for name, row in rows("Members").items() if row[0] == "always"}
    written = [set(line) for body in BODIES.values() for line in exported(body, Failure(reason=""))]
    assert set.intersection(*written) >= always
    assert always | {"failure"} >= set.intersection(*written) - {"dead_at"}


def test_the_page_has_the_members_of_the_schema() -> None:
    """All of them, and of an edit, too; a failure has those of a failure."""
    assert set(rows("Members")) == set(SCHEMA["properties"])
    edits = {name.strip("` ") for names in rows("Changing many at once") for name in names.split(",")}
    assert edits == set(SCHEMA["$defs"]["edit"]["properties"])
    assert set(SCHEMA["$defs"]["failure"]["properties"]) == set(Failure.__struct_fields__)


def test_the_example_fits() -> None:
    """And its body is a message; what import doesn't know there it ignores."""
    VALIDATOR.validate(EXAMPLE)
    assert wire.decode(EXAMPLE["body"].encode(), QUEUE).id == EXAMPLE["id"]
    VALIDATOR.validate({**EXAMPLE, "later": {"a": 1}})


@pytest.mark.parametrize(
    "line",
    [
        {"queue": QUEUE, "body": "x"},
        {"format": 1, "body": "x"},
        {"format": 2, "queue": QUEUE, "body": "x"},
        {"format": "1", "queue": QUEUE, "body": "x"},
        {"format": 1, "queue": QUEUE},
        {"format": 1, "queue": QUEUE, "body": "x", "body_base64": "eA=="},
        {"format": 1, "queue": QUEUE, "body": 7},
        {"format": 1, "queue": QUEUE, "body_base64": "e"},
        {"format": 1, "queue": QUEUE, "body": "x", "failure": {"reason": 7}},
        {"format": 1, "queue": QUEUE, "body": "x", "failure": {"reason": "x", "generation": -1}},
        {"format": 1, "queue": QUEUE, "body": "x", "ordering_group": 7},
        {"format": 1, "queue": QUEUE, "body": BODIES["a message"].decode(), "edit": {"payload": []}},
        {"format": 1, "queue": QUEUE, "body": BODIES["a message"].decode(), "edit": {"task": 7}},
        {"format": 1, "queue": QUEUE, "body": BODIES["a message"].decode(), "edit": {"headers": {"a": 1}}},
        {"format": 1, "queue": QUEUE, "body": BODIES["a message"].decode(), "edit": {"id": "8"}},
        [1],
        "text",
    ],
)
def test_what_the_schema_refuses_import_refuses(line: object) -> None:
    """It is an error of that line, and the next goes on."""
    assert not VALIDATOR.is_valid(line)
    assert imported(line) == (1, 1)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_export_writes_import_takes(body: bytes) -> None:
    """Also with nothing of it but what has to be there."""
    (line,) = exported(body)
    assert imported(line) == (2, 0)
    assert imported({name: line[name] for name in line if name in {"format", "queue", "body", "body_base64"}}) == (2, 0)


def imported(line: object) -> tuple[int, int]:
    """How many messages and errors an import makes of a line, with a good one behind it."""
    driver = MemoryDriver(clock=FakeClock())
    good = json.dumps({"format": 1, "queue": QUEUE, "body": wire.encode(replace(MESSAGE, id="8")).decode()}).encode()
    letters = CloudQueue(QUEUE, driver, clock=driver._clock).dead_letters
    result = letters.load([json.dumps(line).encode() + b"\n", good + b"\n"], by="test")
    stored = driver.receive(QUEUE, limit=10, wait=timedelta(0), lease=timedelta(minutes=1))
    driver.close()
    assert len(stored) == result.redriven
    return result.redriven, len(result.errors)
