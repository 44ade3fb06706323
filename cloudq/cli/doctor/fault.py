"""What a fault is, and one that was found."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How much a fault matters."""

    WARNING = "warning"
    """It costs time or money, or will be an error one day."""
    ERROR = "error"
    """Messages are lost, run twice for certain, or don't run."""

    @property
    def rank(self) -> int:
        """The higher, the worse."""
        return list(Severity).index(self)


class Where(StrEnum):
    """What has the fault."""

    SQS = "Amazon SQS"
    LAMBDA = "AWS Lambda"
    CLOUD_TASKS = "Google Cloud Tasks"
    SERVICE_BUS = "Azure Service Bus"
    FUNCTIONS = "Azure Functions"
    SQLITE = "SQLite"
    STORE = "store"
    OUTBOX = "outbox"
    PROGRAM = "program"


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """What takes a fault away. `{name}`, `{dead}`, `{queue}` and `{right}` stand for what is at hand.

    Attributes:
        command: A command, or what to do.
        terraform: The line for Terraform's code, where there is one.
    """

    command: str
    terraform: str | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that can be found.

    Attributes:
        id: A word for programs; it doesn't change.
        severity: How much it matters.
        what: What is the matter, in general.
        why: What it leads to.
        fixes: What takes it away, by where it is found.
        source: Where the fact about the service is from, and when it was read; empty where the fault is in our own.
    """

    id: str
    severity: Severity
    what: str
    why: str
    fixes: Mapping[Where, Fix]
    source: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was found.

    Attributes:
        fault: Which.
        where: What has it.
        queue: Of which queue it is, by cloudq's name; `None` for none.
        what: What was found, with the values that are there.
        names: What stands in a `Fix` for `{name}`, `{dead}`, `{queue}` and `{right}`.
    """

    fault: Fault
    where: Where
    what: str
    queue: str | None = None
    names: Mapping[str, str] = {}

    @property
    def command(self) -> str:
        """What takes it away."""
        return _filled(self.fault.fixes[self.where].command, self.names)

    @property
    def terraform(self) -> str | None:
        """The line for Terraform's code, if there is one."""
        line = self.fault.fixes[self.where].terraform
        return None if line is None else _filled(line, self.names)


def _filled(text: str, names: Mapping[str, str]) -> str:
    """Not by `format`: JSON in a command has braces of its own."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


class Unchecked(msgspec.Struct, frozen=True, kw_only=True):
    """What couldn't be looked at, so that nothing is known of it.

    Attributes:
        what: What wasn't looked at.
        why: Why not.
    """

    what: str
    why: str
