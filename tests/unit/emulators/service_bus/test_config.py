"""`Config.json`: what is read from it, and what errors say."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.rules import CorrelationFilter, SqlAction, SqlFilter
from cloudq.emulators.service_bus.config import Config, ConfigError, load_config, parse_config
from cloudq.testing import FakeClock

MINUTE = timedelta(minutes=1)
# Of the form that Microsoft documents for its emulator.
FULL = {
    "UserConfig": {
        "Namespaces": [
            {
                "Name": "sbemulatorns",
                "Queues": [
                    {
                        "Name": "orders",
                        "Properties": {
                            "DeadLetteringOnMessageExpiration": True,
                            "DefaultMessageTimeToLive": "PT1H",
                            "DuplicateDetectionHistoryTimeWindow": "PT20S",
                            "ForwardDeadLetteredMessagesTo": "graveyard",
                            "ForwardTo": "",
                            "LockDuration": "PT1M",
                            "MaxDeliveryCount": 3,
                            "RequiresDuplicateDetection": True,
                            "RequiresSession": False,
                            "UserMetadata": "mine",
                        },
                    },
                    {"Name": "graveyard"},
                ],
                "Topics": [
                    {
                        "Name": "news",
                        "Properties": {"DefaultMessageTimeToLive": "PT1H", "RequiresDuplicateDetection": False},
                        "Subscriptions": [
                            {"Name": "all", "Properties": {"MaxDeliveryCount": 3, "ForwardTo": "graveyard"}},
                            {
                                "Name": "some",
                                "Rules": [
                                    {
                                        "Name": "text",
                                        "Properties": {
                                            "FilterType": "Correlation",
                                            "Action": {"SqlExpression": "SET a = 1", "CompatibilityLevel": 20},
                                            "CorrelationFilter": {
                                                "ContentType": "application/text",
                                                "Label": "l",
                                                "Properties": {"color": "red", "n": 1},
                                            },
                                        },
                                    },
                                    {
                                        "Name": "sql",
                                        "Properties": {
                                            "FilterType": "Sql",
                                            "SqlFilter": {"SqlExpression": "sys.MessageId = '1'"},
                                        },
                                    },
                                ],
                            },
                        ],
                    }
                ],
            }
        ],
        "Logging": {"Type": "File"},
    }
}


def namespace(**entities: object) -> bytes:
    return json.dumps({"UserConfig": {"Namespaces": [{"Name": "x", **entities}]}}).encode()


def test_everything_of_the_file_is_made() -> None:
    """Queues, topics, subscriptions and rules with their properties; a target may stand behind its source."""
    broker = Broker(FakeClock())
    parse_config(json.dumps(FULL).encode()).apply(broker)
    queue = broker.entities.queue("orders").settings
    assert (True, timedelta(hours=1), timedelta(seconds=20), "graveyard", None, MINUTE, 3, True, False) == (
        queue.dead_letter_on_expiration,
        queue.default_time_to_live,
        queue.duplicate_detection_window,
        queue.forward_dead_letters_to,
        queue.forward_to,
        queue.lock_duration,
        queue.max_delivery_count,
        queue.requires_duplicate_detection,
        queue.requires_session,
    )
    assert {"UserMetadata": "mine"} == queue.inert.properties
    assert timedelta(hours=1) == broker.entities.topic("news").settings.default_time_to_live
    assert "graveyard" == broker.entities.subscription("news", "all").queue.settings.forward_to
    assert ["$Default"] == [rule.name for rule in broker.entities.rules("news", "all")]
    sql, text = broker.entities.rules("news", "some")
    assert SqlFilter("sys.MessageId = '1'") == sql.filter
    wanted = CorrelationFilter(content_type="application/text", subject="l", properties={"color": "red", "n": 1})
    assert wanted == text.filter
    assert (None, SqlAction("SET a = 1")) == (sql.action, text.action)


def test_a_namespace_without_anything() -> None:
    """It is a file like any other, also with a byte order mark."""
    assert Config() == parse_config(b"\xef\xbb\xbf" + namespace())


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "it is no JSON"),
        (b"{" * 100_000, "it is no JSON"),
        (b"[]", "the file: an object should be here, not a list"),
        (b"{}", "UserConfig: it is missing"),
        (b'{"Userconfig": {}}', "Userconfig: nothing of this name belongs here; there are UserConfig, Logging"),
        (b'{"UserConfig": {"Namespaces": []}}', "UserConfig.Namespaces: 0 namespaces"),
        (b'{"UserConfig": {"Namespaces": {}}}', "UserConfig.Namespaces: a list should be here, not an object"),
        (namespace(Queues=[{}]), "Namespaces[0].Queues[0].Name: it is missing"),
        (namespace(Queues=[{"Name": 5}]), "Queues[0].Name: a string should be here, not 5"),
        (
            namespace(Queues=[{"Name": "a"}, {"Name": "b", "Properties": {"LockDuration": "1m"}}]),
            "UserConfig.Namespaces[0].Queues[1].Properties.LockDuration: '1m' is no ISO 8601 duration",
        ),
        (
            namespace(Queues=[{"Name": "a", "Properties": {"MaxDeliveryCount": "3"}}]),
            'MaxDeliveryCount: a whole number should be here, not "3"',
        ),
        (
            namespace(Queues=[{"Name": "a", "Properties": {"MaxDeliveryCount": True}}]),
            "MaxDeliveryCount: a whole number should be here, not true",
        ),
        (
            namespace(Queues=[{"Name": "a", "Properties": {"RequiresSession": "yes"}}]),
            'RequiresSession: true or false should be here, not "yes"',
        ),
        (namespace(Queues=[{"Name": "a", "Properties": {"Sessions": True}}]), "Properties.Sessions: nothing of"),
        (
            namespace(Topics=[{"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{"Name": "r", "Properties": {
                "FilterType": "Other"}}]}]}]),
            "Topics[0].Subscriptions[0].Rules[0].Properties.FilterType: 'Other' is neither Sql nor Correlation",
        ),
        (
            namespace(Topics=[{"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{"Name": "r", "Properties": {
                "FilterType": "Sql"}}]}]}]),
            "Properties.SqlFilter: it is missing",
        ),
    ],
)  # fmt: skip
def test_files_that_are_refused(content: bytes, text: str) -> None:
    """The error says where and what."""
    with pytest.raises(ConfigError) as caught:
        parse_config(content)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (namespace(Queues=[{"Name": "a"}, {"Name": "A"}]), "Queues[1]: The messaging entity 'A' already exists."),
        (
            namespace(Queues=[{"Name": "a", "Properties": {"LockDuration": "PT6M"}}]),
            "Queues[0]: LockDuration: 0:06:00 isn't between",
        ),
        (
            namespace(Queues=[{"Name": "a", "Properties": {"ForwardTo": "b"}}]),
            "Queues[0]: ForwardTo: there is no queue or topic b",
        ),
        (
            namespace(Topics=[{"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{"Name": "r", "Properties": {
                "FilterType": "Sql", "SqlFilter": {"SqlExpression": "a ="}}}]}]}]),
            "Rules[0]: the SQL filter of the rule r (a =): it ends where",
        ),
        (
            namespace(Topics=[{"Name": "t", "Subscriptions": [{"Name": "s", "Rules": [{"Name": "r", "Properties": {
                "FilterType": "Sql", "SqlFilter": {"SqlExpression": "1=1"}, "Action": {"SqlExpression": "SET a"}
            }}]}]}]),
            "Rules[0]: the action of the rule r (SET a): it ends where = should be",
        ),
    ],
)  # fmt: skip
def test_entities_that_cannot_be_made(content: bytes, text: str) -> None:
    """The error says which of the file's entities it is, and what the broker says."""
    with pytest.raises(ConfigError) as caught:
        parse_config(content).apply(Broker(FakeClock()))
    assert text in str(caught.value)


def test_reading_from_disk(tmp_path: Path) -> None:
    """Errors name the file."""
    path = tmp_path / "Config.json"
    with pytest.raises(ConfigError, match=r"Config\.json: No such file"):
        load_config(path)
    path.write_bytes(b"[")
    with pytest.raises(ConfigError, match=r"Config\.json: it is no JSON"):
        load_config(path)
    path.write_bytes(b" " * (4 * 1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="more than 4194304 bytes"):
        load_config(path)
    path.write_bytes(namespace(Queues=[{"Name": "a"}]))
    assert ["a"] == [queue.name for queue in load_config(path).queues]


def test_the_file_for_microsofts_emulator_is_read() -> None:
    """What `localstack/compose.yaml` gives to Microsoft's emulator works here, too."""
    broker = Broker(FakeClock())
    load_config(Path(__file__).parents[4] / "localstack" / "service-bus" / "Config.json").apply(broker)
    found = [(entity.name, entity.settings.requires_session) for entity in broker.entities.queues()]
    assert [("default", False), ("orders.fifo", True)] == found
