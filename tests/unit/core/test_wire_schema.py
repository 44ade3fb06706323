"""The page and the JSON Schema of the wire format say what the code does."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cloudq.core import wire
from cloudq.core.failure import MAX_FAILURE_BYTES, Failure
from cloudq.core.message import LINEAGE, Message
from cloudq.core.redriving import EDITS, REDRIVEN
from cloudq.errors import UndecodableError

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
PAGE = (REFERENCE / "wire-format.md").read_text(encoding="utf-8")
SCHEMA = json.loads((REFERENCE / "wire-format.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

JSON_BLOCKS = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HERE_DOCUMENTS = re.findall(r"<<END\n(.*?)^END$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [block for block in JSON_BLOCKS + HERE_DOCUMENTS if "specversion" in block]

texts = st.text(st.characters(exclude_categories=["Cs"]))
some_text = texts.filter(bool)
maybe_text = st.none() | some_text
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
times = st.none() | st.datetimes(timezones=st.just(UTC))
counts = st.integers(0, 2**31 - 1)
# What CloudEvents lets an attribute be.
extensions = st.dictionaries(
    st.from_regex(r"x[a-z0-9]{1,10}", fullmatch=True),
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | texts,
    max_size=3,
)
messages = st.builds(
    Message, id=some_text, task=some_text, queue=texts, source=some_text, sent_at=times, not_before=times,
    expires_at=times, payload=st.dictionaries(texts, values, max_size=4), attempt_base=counts, generation=counts,
    idempotency_key=maybe_text, ordering_key=maybe_text, fairness_key=maybe_text, extensions=extensions,
    headers=st.dictionaries(texts | st.just("traceparent"), texts, max_size=3),
    time_limit=st.none() | st.timedeltas(timedelta(milliseconds=1), timedelta(days=99)),
)  # fmt: skip


SHA256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def referring(**changes: object) -> dict[str, object]:
    """The attributes that stand in place of the data, with changes."""
    return {"wireversion": 2, "dataref": "day/one.json", "datasha256": SHA256, "datasize": 7, **changes}


def event(**changes: object) -> dict[str, object]:
    """The smallest event, with changes; `...` leaves an attribute out."""
    smallest: dict[str, object] = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    return {name: value for name, value in {**smallest, **changes}.items() if value is not ...}


def valid(candidate: object) -> bool:
    return VALIDATOR.is_valid(candidate)


def decodable(candidate: object) -> bool:
    try:
        wire.decode(json.dumps(candidate).encode(), "q")
    except UndecodableError:
        return False
    return True


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_is_one() -> None:
    """It is a valid schema of draft 2020-12."""
    Draft202012Validator.check_schema(SCHEMA)


FORGED = [
    "", "/etc/passwd", "../x", "a/../../x", "a/..", ".", "..", "./a", "a/./b", "a//b", "a/", ".hidden", "a/.b",
    "a\\..\\b",
    "file:///etc/passwd", "https://example.com/x", "s3://other/x", "//host/x", "C:/x", "a%2e%2e/b", "%2e%2e/b", "a?b",
    "a#b", "a*", "[a]", "~root/x", "a b", "a\0b", "ä", "x" * 513, 5,
]  # fmt: skip


@given(messages)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_encoded_message_validates(message: Message) -> None:
    """Whatever is sent is what the schema promises."""
    VALIDATOR.validate(json.loads(wire.encode(message)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({name: None} for name in ("queue", "time", "notbefore", "idempotencykey", "wireversion", "headers", "data")),
        {"expirytime": None},
        {"data": {}, "data_base64": None},
        {"data": None, "data_base64": "e30="},
        {"data_base64": "eyJhIjoxfQ=="},
        *({"datacontenttype": kind} for kind in ("application/json", "Text/JSON; charset=utf-8", "a/x+json", "")),
        *({"time": time} for time in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789+05:30")),
        *({name: count} for name in ("attemptbase", "timelimit") for count in (0, 1.0, "7", 2**31 - 1)),
        *({"wireversion": version} for version in (1, "1", 2, "2")),
        {"headers": '{"a": "b"}'},
        {"subject": "s", "n": 5, "flag": True, "nothing": None},
        referring(),
        referring(datasize="104857600", wireversion="2", data=None),
        *(referring(dataref=name) for name in ("a", "-_.", "a.b/c-d/E_9..x", "x" * 512)),
        {"dataref": "https://example.com/x", "data": {}},
    ],
)  # fmt: skip
def test_what_the_schema_allows_is_decoded(changes: dict[str, object]) -> None:
    """A producer that keeps to the schema is understood."""
    assert (True, True) == (valid(event(**changes)), decodable(event(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        *({name: gone} for name in ("specversion", "id", "source", "type") for gone in (..., None, "", 5)),
        {"specversion": "0.3"},
        {"wireversion": 3},
        *({name: 5} for name in ("queue", "idempotencykey", "orderingkey", "time", "notbefore", "headers")),
        {"expirytime": 5},
        *({"data": data} for data in ([], "{}", 5)),
        {"data": {}, "data_base64": "e30="},
        *({"data_base64": data} for data in ("***", 5)),
        *({"datacontenttype": kind} for kind in ("text/xml", "json", 5)),
        *({"time": time} for time in ("yesterday", "2026-01-01T00:00:00", "2026-01-01")),
        *({name: count} for name in ("attemptbase", "timelimit") for count in (-1, 1.5, 2**31, "x", "-1", True)),
        *({"headers": headers} for headers in ("[]", "", {"a": "b"})),
        *(referring(dataref=name) for name in FORGED),
        *(referring(wireversion=version) for version in (1, "1", None, ...)),
        *(referring(datasha256=sha256) for sha256 in (None, ..., "", SHA256.upper(), SHA256[1:], SHA256 + "0", 5)),
        *(referring(datasize=size) for size in (None, ..., 0, -1, 100 * 2**20 + 1, 2**31, "x", 1.5, True)),
    ],
)  # fmt: skip
def test_what_is_refused_is_not_valid(changes: dict[str, object]) -> None:
    """A body that would be dead-lettered for its attributes doesn't validate."""
    assert (False, False) == (valid(event(**changes)), decodable(event(**changes)))


@pytest.mark.parametrize("name", ["Upper", "under_score", "", "é"])
def test_names_that_are_none_of_cloudevents_are_not_valid_but_kept(name: str) -> None:
    """The schema is for producers; the reader keeps what it doesn't know."""
    assert (False, True) == (valid(event(**{name: "x"})), decodable(event(**{name: "x"})))


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_examples_are_found() -> None:
    """The full message, the smallest one, one that refers to its payload, a signed one, one from a shell."""
    assert 5 == len(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_documented_examples_validate_and_decode(example: str) -> None:
    """What a reader copies works, and comes out of a copy as it went in."""
    written = json.loads(example)
    VALIDATOR.validate(written)
    message = wire.decode(example.encode(), "emails")
    assert (written["id"], written["type"], written.get("data", {})) == (message.id, message.task, message.payload)
    assert message == wire.decode(wire.encode(message), "another")


def test_the_full_example_has_every_attribute_in_its_place() -> None:
    """Encoding what was decoded gives the very event of the page, and all attributes of the table but the exclusive."""
    written = json.loads(EXAMPLES[0])
    again = json.loads(wire.encode(wire.decode(EXAMPLES[0].encode(), "another")))
    written["time"] = "2026-01-31T12:00:00.250000Z"  # the same moment
    assert written == again
    exclusive = {"orderingkey", "cloudqsignature", "tracestate", "data_base64", "dataref", "datasha256", "datasize"}
    assert exclusive == documented() - set(written)


def documented() -> set[str]:
    """The attributes in the page's table."""
    rows = re.findall(r"^\| ((?:`[a-z0-9_]+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    return set(re.findall(r"`([a-z0-9_]+)`", " ".join(rows)))


def test_the_page_and_the_schema_list_the_same_attributes() -> None:
    """Neither forgets one; and they are the ones that the code takes out of an event, beside what operators did."""
    operators = {REDRIVEN, EDITS, LINEAGE}
    assert all(f"`{name}`" in PAGE for name in operators)
    assert set(SCHEMA["properties"]) == documented() | operators
    everything: dict[str, Any] = dict.fromkeys(documented(), "1")
    everything |= {
        "specversion": "1.0", "datacontenttype": "application/json", "headers": "{}", "data": {},
        "data_base64": None, "time": "2026-01-01T00:00:00Z", "notbefore": None, "expirytime": None,
    }  # fmt: skip
    message = wire.decode(json.dumps(everything).encode(), "q")
    # Beside data they are somebody else's, and kept.
    assert {"dataref", "datasha256", "datasize"} == set(message.extensions)
    referring = {**everything, "data": None, "wireversion": 2, "datasha256": SHA256}
    assert {} == wire.decode(json.dumps(referring).encode(), "q").extensions


def test_the_page_names_the_bounds_of_the_code() -> None:
    """Depth, size, digits and the room for failure details."""
    assert f"more than {wire.MAX_DEPTH} objects and arrays" in PAGE
    assert f"more than {wire.MAX_BODY_BYTES // 2**20} MiB" in PAGE
    assert f"at most {MAX_FAILURE_BYTES / 1024:g} KiB" in PAGE
    assert f"{2**31 - 1:,}" in PAGE
    bodies = [
        b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"n":%s}}' % (b"9" * n) for n in (4_300, 4_301)
    ]
    assert "integer of more than 4,300 digits" in PAGE
    assert wire.decode(bodies[0], "q").payload
    with pytest.raises(UndecodableError):
        wire.decode(bodies[1], "q")


def test_the_failure_on_the_page_is_one() -> None:
    """It has every field, under the names that `Failure` writes."""
    (example,) = [block for block in JSON_BLOCKS if "specversion" not in block]
    failure = Failure.decode(example)
    assert datetime(2026, 1, 31, 12, tzinfo=UTC) == failure.first_at
    written = {**json.loads(example), "last_at": "2026-01-31T12:31:07.500000Z"}
    assert written == json.loads(failure.encode())
    assert set(Failure.__struct_fields__) == set(written)


@pytest.mark.parametrize("language", ["js", "go", "csharp", "java"])
def test_examples_in_other_languages_have_what_an_event_needs(language: str) -> None:
    """Each writes the attributes that are required, and none that the schema doesn't know."""
    [example] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    words = set(re.findall(r'"([a-z_]+)"', example)) - {"user_id", "web", "billing"}
    assert words == {*SCHEMA["required"], "data"}
    assert words <= SCHEMA["properties"].keys()
    assert "shop.tasks.welcome" in example
