"""Actions of rules: their grammar, what they change, errors."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloudq.emulators.service_bus.broker.api import Message
from cloudq.emulators.service_bus.broker.sql_actions import compile_action
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError

MESSAGE = Message(payload=b"", subject="order", application_properties={"color": "red", "n": 2, "Set": 1})
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "added", "removed"),
    [
        ("SET level = 'high'", {"level": "high"}, set()),
        ("set COLOR = 'blue';", {"color": "blue"}, set()),
        ("SET n = n * 2 + 1; SET double = n * 2", {"n": 5, "double": 10}, set()),
        ("SET [two words] = sys.Label, REMOVE user.N", {"two words": "order"}, {"n"}),
        ("REMOVE color; SET color = 'new'", {"color": "new"}, set()),
        ("SET x = 1; REMOVE x; REMOVE nothing", {}, set()),
        ("SET at = @now", {"at": NOON}, set()),
        ("SET none = NULL; SET set = 2", {"none": None, "Set": 2}, set()),
        ("SET same = color", {"same": "red"}, set()),
    ],
)
def test_what_an_action_changes(text: str, added: dict[str, object], removed: set[str]) -> None:
    """Statements in their order, each seeing what those before have done; names without regard to case."""
    change = compile_action(text, {"@now": NOON})(MESSAGE)
    assert (added, removed) == (change.added, change.removed)
    given = {name: value for name, value in MESSAGE.application_properties.items() if name not in removed}
    assert given | added == change.properties


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it ends where SET or REMOVE should be"),
        ("a = 1", "SET or REMOVE should be here"),
        ("SET a", "it ends where = should be"),
        ("SET = 1", "a property's name should be here"),
        ("SET a = 1 SET b = 2", "the end, ; or , should be here"),
        ("SET sys.Label = 'x'", "change what the sender set, not sys.Label"),
        ("REMOVE 5", "a property's name should be here"),
        ("SET a = @missing", "@missing has no value"),
        ("SET a = 1;" * 33, "33 statements; an action has at most 32"),
        ("SET a = '" + "x" * 1024 + "'", "an action has at most 1024"),
    ],
)
def test_what_is_no_action(text: str, complaint: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(SqlError, match=complaint):
        compile_action(text)


def test_a_value_that_cannot_be_computed() -> None:
    """It is an error for that message."""
    with pytest.raises(SqlError, match="division"):
        compile_action("SET a = 1 / (n - 2)")(MESSAGE)
