"""Atom documents: what clients send, read safely, and what they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree as ET

ATOM: Final = "http://www.w3.org/2005/Atom"
SERVICE_BUS: Final = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
COUNTS: Final = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
SCHEMA: Final = "http://www.w3.org/2001/XMLSchema"

TYPE: Final = f"{{{INSTANCE}}}type"


class AtomError(ValueError):
    """A document that can't be read."""


def parse(body: bytes) -> ET.Element:
    """Reads an entry. Returns the description in it.

    Raises:
        AtomError: It isn't UTF-8 or XML, has a document type or entities, or no description.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise AtomError("the body isn't UTF-8") from error
    # Without a document type there are no entities: neither ones that grow without end nor ones that read files.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise AtomError("the body has a document type or entities, which are refused")
    try:
        entry = ET.fromstring(text)  # noqa: S314 - entities are refused above, the size by the caller
    except (ET.ParseError, ValueError) as error:
        raise AtomError(f"the body is no XML: {error}") from error
    content = entry.find(f"{{{ATOM}}}content")
    if entry.tag != f"{{{ATOM}}}entry" or content is None or len(content) != 1:
        raise AtomError("the body is no Atom entry with one description in its content")
    return content[0]


def local(element: ET.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def find(parent: ET.Element, name: str) -> ET.Element | None:
    """A child of Service Bus's namespace."""
    return parent.find(f"{{{SERVICE_BUS}}}{name}")


def texts(parent: ET.Element) -> dict[str, str]:
    """The children that hold only text, by name."""
    return {local(child): child.text or "" for child in parent if len(child) == 0}


def description(name: str) -> ET.Element:
    """An empty description, the declarations of its namespaces included."""
    return ET.Element(name, {"xmlns": SERVICE_BUS, "xmlns:i": INSTANCE})


def add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    """Adds a child."""
    child = ET.SubElement(parent, name, attributes)
    child.text = text
    return child


def moment(value: datetime) -> str:
    """A time as XML writes it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry(address: str, title: str, content: ET.Element, published: datetime, updated: datetime) -> ET.Element:
    """An entry about one entity."""
    element = ET.Element("entry", {"xmlns": ATOM})
    _head(element, address, title, updated)
    add(element, "published", moment(published))
    add(element, "link", rel="self", href=address)
    add(element, "content", type="application/xml").append(content)
    return element


def feed(
    address: str, title: str, entries: Sequence[ET.Element], updated: datetime, next_page: str | None = None
) -> ET.Element:
    """A list of entries, with the address of its next page."""
    element = ET.Element("feed", {"xmlns": ATOM})
    _head(element, address, title, updated)
    add(element, "link", rel="self", href=address)
    if next_page is not None:
        add(element, "link", rel="next", href=next_page)
    element.extend(entries)
    return element


def failure(status: int, detail: str) -> ET.Element:
    """What an error is answered with."""
    element = ET.Element("Error")
    add(element, "Code", str(status))
    add(element, "Detail", detail)
    return element


def fill(parent: ET.Element, properties: Mapping[str, str]) -> None:
    """Adds a child for each property."""
    for name, text in properties.items():
        add(parent, name, text)


def _head(element: ET.Element, address: str, title: str, updated: datetime) -> None:
    add(element, "id", address)
    add(element, "title", title, type="text")
    add(element, "updated", moment(updated))
