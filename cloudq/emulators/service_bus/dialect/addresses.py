"""Where a link wants to go: an entity, its `$management` node, or `$cbs`."""

from __future__ import annotations

from enum import Enum
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.broker.address import Address

_CBS: Final = "$cbs"
_MANAGEMENT: Final = "/$management"


class NodeKind(Enum):
    """What is behind an address."""

    ENTITY = "entity"
    MANAGEMENT = "management"
    CBS = "cbs"


class Node(msgspec.Struct, frozen=True):
    """What a link's address names.

    Attributes:
        kind: Which kind of node.
        address: The entity; for `$cbs` an address that names none.
    """

    kind: NodeKind
    address: Address


def parse_node(address: object) -> Node:
    """Reads a link's address: a path, or a URL whose path counts.

    Raises:
        AmqpError: It is no string, or empty.
    """
    if not isinstance(address, str) or not address:
        raise AmqpError(ErrorCondition.INVALID_FIELD, "a link needs the address of an entity, as a string")
    path = unquote(urlsplit(address).path) if "://" in address else address
    path = path.strip("/")
    if path.lower() == _CBS:
        return Node(NodeKind.CBS, Address(_CBS))
    if path.lower().endswith(_MANAGEMENT):
        return Node(NodeKind.MANAGEMENT, Address.parse(path[: -len(_MANAGEMENT)]))
    if not path:
        raise AmqpError(ErrorCondition.INVALID_FIELD, f"the address {address!r} names no entity")
    return Node(NodeKind.ENTITY, Address.parse(path))
