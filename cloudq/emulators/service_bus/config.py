"""`Config.json`, the file from which Microsoft's emulator makes its entities: the same file does here.

{"UserConfig": {"Namespaces": [{"Name": ..., "Queues": [{"Name": ..., "Properties": {...}}], "Topics": [{"Name": ...,
"Properties": {...}, "Subscriptions": [{"Name": ..., "Properties": {...}, "Rules": [...]}]}]}], "Logging": {...}}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cloudq.emulators.service_bus import properties
from cloudq.emulators.service_bus.broker.api import BrokerError
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.entities import Entities
from cloudq.emulators.service_bus.broker.rules import (
    DEFAULT_RULE,
    CorrelationFilter,
    Filter,
    NewRule,
    SqlAction,
    SqlFilter,
    TrueFilter,
)
from cloudq.emulators.service_bus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings

MAX_SIZE: Final = 4 * 1024 * 1024

_CORRELATION: Final = {
    "ContentType": "content_type",
    "CorrelationId": "correlation_id",
    "Label": "subject",
    "MessageId": "message_id",
    "ReplyTo": "reply_to",
    "ReplyToSessionId": "reply_to_session_id",
    "SessionId": "session_id",
    "To": "to",
}

AnySettings = TypeVar("AnySettings", QueueSettings, TopicSettings, SubscriptionSettings)


class ConfigError(ValueError):
    """The file can't be used. The message begins with where: `UserConfig.Namespaces[0].Queues[1].Name: ...`."""


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the file, and where it stands."""

    where: str
    rule: NewRule


class SubscriptionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription of the file, and where it stands."""

    where: str
    name: str
    settings: SubscriptionSettings
    rules: tuple[RuleConfig, ...]

    def make(self, topic: str, entities: Entities) -> None:
        """Makes the subscription; rules of its own take the place of the one for all messages."""
        with _at(self.where):
            entities.create_subscription(topic, self.name, _stay(self.settings))
        if self.rules:
            entities.delete_rule(topic, self.name, DEFAULT_RULE)
        for rule in self.rules:
            with _at(rule.where):
                entities.create_rule(topic, self.name, rule.rule)


class QueueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A queue of the file, and where it stands."""

    where: str
    name: str
    settings: QueueSettings


class TopicConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of the file, and where it stands."""

    where: str
    name: str
    settings: TopicSettings
    subscriptions: tuple[SubscriptionConfig, ...]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The entities of the file."""

    queues: tuple[QueueConfig, ...] = ()
    topics: tuple[TopicConfig, ...] = ()

    def apply(self, broker: Broker) -> None:
        """Makes the entities.

        Raises:
            ConfigError: One of them can't be made: two of a name, a value out of bounds, a target that there isn't.
        """
        entities = broker.entities
        with broker.world:
            # Forwarding comes last: a target may stand behind its source in the file.
            for queue in self.queues:
                with _at(queue.where):
                    entities.create_queue(queue.name, _stay(queue.settings))
            for topic in self.topics:
                with _at(topic.where):
                    entities.create_topic(topic.name, topic.settings)
                for subscription in topic.subscriptions:
                    subscription.make(topic.name, entities)
            for queue in self.queues:
                with _at(queue.where):
                    entities.update_queue(queue.name, queue.settings)
            for topic in self.topics:
                for subscription in topic.subscriptions:
                    with _at(subscription.where):
                        entities.update_subscription(topic.name, subscription.name, subscription.settings)


def load_config(path: Path) -> Config:
    """Reads a file.

    Raises:
        ConfigError: It can't be read, or isn't what it should be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    if len(content) > MAX_SIZE:
        raise ConfigError(f"{path} has more than {MAX_SIZE} bytes")
    try:
        return parse_config(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(content: bytes) -> Config:
    """Reads the content of a file.

    Raises:
        ConfigError: It isn't what it should be; the message says where and what.
    """
    try:
        value = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"it is no JSON: {error}") from error
    root = _Node("", value).members("UserConfig", "Logging")
    user = root.child("UserConfig").members("Namespaces", "Logging")
    namespaces = list(user.child("Namespaces").items())
    if len(namespaces) != 1:
        raise ConfigError(f"UserConfig.Namespaces: {len(namespaces)} namespaces; the emulator is one")
    namespace = namespaces[0].members("Name", "Queues", "Topics")
    return Config(
        queues=tuple(_queue(each) for each in namespace.child("Queues", []).items()),
        topics=tuple(_topic(each) for each in namespace.child("Topics", []).items()),
    )


class _Node:
    """A value of the file, which knows where it stands."""

    def __init__(self, where: str, value: object) -> None:
        self.where = where
        self.value = value

    def wrong(self, text: str) -> ConfigError:
        return ConfigError(f"{self.where or 'the file'}: {text}")

    def members(self, *names: str) -> _Node:
        """Itself, which has to be an object with no other names than these."""
        fields = self.fields()
        for name in fields:
            if name not in names:
                raise _Node(f"{self.where}.{name}".lstrip("."), None).wrong(
                    f"nothing of this name belongs here; there are {', '.join(names)}"
                )
        return self

    def fields(self) -> Mapping[str, object]:
        if not isinstance(self.value, dict):
            raise self.wrong(f"an object should be here, not {_kind(self.value)}")
        return self.value

    def child(self, name: str, default: object = None) -> _Node:
        node = _Node(f"{self.where}.{name}".lstrip("."), self.fields().get(name, default))
        if node.value is None:
            raise node.wrong("it is missing")
        return node

    def items(self) -> Iterator[_Node]:
        if not isinstance(self.value, list):
            raise self.wrong(f"a list should be here, not {_kind(self.value)}")
        for index, item in enumerate(self.value):
            yield _Node(f"{self.where}[{index}]", item)

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong(f"a string should be here, not {_kind(self.value)}")
        return self.value


def _queue(node: _Node) -> QueueConfig:
    node.members("Name", "Properties")
    settings = _settings(node.child("Properties", {}), QueueSettings(), properties.QUEUE)
    return QueueConfig(where=node.where, name=node.child("Name").text(), settings=settings)


def _topic(node: _Node) -> TopicConfig:
    node.members("Name", "Properties", "Subscriptions")
    return TopicConfig(
        where=node.where,
        name=node.child("Name").text(),
        settings=_settings(node.child("Properties", {}), TopicSettings(), properties.TOPIC),
        subscriptions=tuple(_subscription(each) for each in node.child("Subscriptions", []).items()),
    )


def _subscription(node: _Node) -> SubscriptionConfig:
    node.members("Name", "Properties", "Rules")
    return SubscriptionConfig(
        where=node.where,
        name=node.child("Name").text(),
        settings=_settings(node.child("Properties", {}), SubscriptionSettings(), properties.SUBSCRIPTION),
        rules=tuple(_rule(each) for each in node.child("Rules", []).items()),
    )


def _settings(node: _Node, default: AnySettings, table: Mapping[str, properties.Property]) -> AnySettings:
    texts: dict[str, str] = {}
    node.members(*table, *properties.INERT)
    for name, value in node.fields().items():
        wanted = table[name].json if name in table else None
        if value is None:
            continue
        if wanted is not None and type(value) is not wanted:
            raise node.child(name).wrong(f"{_KINDS[wanted]} should be here, not {_kind(value)}")
        texts[name] = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return properties.with_properties(default, table, texts)
    except properties.PropertyError as error:
        raise node.child(error.name).wrong(error.text) from error


def _rule(node: _Node) -> RuleConfig:
    given = node.members("Name", "Properties").child("Properties", {})
    given.members("FilterType", "CorrelationFilter", "SqlFilter", "Action")
    rule = NewRule(node.child("Name").text(), _filter(given), _action(given))
    return RuleConfig(where=node.where, rule=rule)


def _action(given: _Node) -> SqlAction | None:
    if not given.fields().get("Action"):
        return None
    found = given.child("Action").members("SqlExpression", "CompatibilityLevel", "RequiresPreprocessing")
    return SqlAction(found.child("SqlExpression").text())


def _filter(given: _Node) -> Filter:
    if not given.fields():
        return TrueFilter()
    kind = given.child("FilterType")
    match kind.text().lower().removesuffix("filter"):
        case "sql":
            found = given.child("SqlFilter").members("SqlExpression", "CompatibilityLevel", "RequiresPreprocessing")
            return SqlFilter(found.child("SqlExpression").text())
        case "correlation":
            found = given.child("CorrelationFilter").members(*_CORRELATION, "Properties", "RequiresPreprocessing")
            named = {
                _CORRELATION[name]: found.child(name).text()
                for name, value in found.fields().items()
                if name in _CORRELATION and value is not None
            }
            return CorrelationFilter(**named, properties=dict(found.child("Properties", {}).fields()))
    raise kind.wrong(f"{kind.value!r} is neither Sql nor Correlation")


_KINDS: Final[Mapping[type, str]] = {str: "a string", int: "a whole number", bool: "true or false"}


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else msgspec.json.encode(value).decode()


def _stay(settings: AnySettings) -> AnySettings:
    return msgspec.structs.replace(settings, forward_to=None, forward_dead_letters_to=None)


@contextmanager
def _at(where: str) -> Iterator[None]:
    try:
        yield
    except BrokerError as error:
        raise ConfigError(f"{where}: {error.text}") from error
