"""Keys of queues and topics as the administration writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from cloudq.emulators.service_bus.admin import atom
from cloudq.emulators.service_bus.broker.settings import AuthorizationRule

MOST: Final = 12
"""Rules of one entity ("Service Bus quotas", Microsoft Learn, 2024-11)."""
_RIGHTS: Final = ("Send", "Listen", "Manage")


class AuthorizationError(ValueError):
    """Rules that can't be read."""


def read_authorization(description: ET.Element) -> tuple[AuthorizationRule, ...] | None:
    """The rules of a description; `None` if it says nothing about them.

    Raises:
        AuthorizationError: There are too many, one has no name, or a right that isn't one.
    """
    given = atom.find(description, "AuthorizationRules")
    if given is None:
        return None
    if len(given) > MOST:
        raise AuthorizationError(f"AuthorizationRules: {len(given)}; an entity has at most {MOST}")
    return tuple(map(_read, given))


def write_authorization(description: ET.Element, rules: Sequence[AuthorizationRule]) -> None:
    """Adds the rules to a description."""
    parent = atom.add(description, "AuthorizationRules")
    for rule in rules:
        element = atom.add(parent, "AuthorizationRule", **{"i:type": rule.kind})
        rights = atom.add(element, "Rights")
        for right in rule.rights:
            atom.add(rights, "AccessRights", right)
        atom.fill(element, rule.fields)


def _read(element: ET.Element) -> AuthorizationRule:
    fields = {name: text for name, text in atom.texts(element).items() if name != "Rights"}
    if not fields.get("KeyName"):
        raise AuthorizationError("AuthorizationRules: a rule has no KeyName")
    given = atom.find(element, "Rights")
    rights = tuple((right.text or "").strip() for right in (given if given is not None else ()))
    if wrong := [right for right in rights if right not in _RIGHTS]:
        raise AuthorizationError(f"AuthorizationRules: {wrong[0]!r} is none of {', '.join(_RIGHTS)}")
    return AuthorizationRule(kind=element.get(atom.TYPE, "SharedAccessAuthorizationRule"), rights=rights, fields=fields)
