"""What a request to the administration asks for, and its answer: no network here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import msgspec

from cloudq.emulators.service_bus.admin import atom
from cloudq.emulators.service_bus.admin.resources import Item, Place, Queues, Resource, Rules, Subscriptions, Topics
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Condition
from cloudq.emulators.service_bus.broker.broker import Broker

MAX_PAGE: Final = 100
_NAMESPACE: Final = "cloudq-emulator"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request.

    Attributes:
        origin: The scheme and host that the client used: `http://127.0.0.1:5300`.
        path: As it was sent, quoted.
        query: By name.
        if_match: Whether the entity has to exist: an update.
    """

    method: str
    origin: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes = b""
    if_match: bool = False


class Response(msgspec.Struct, frozen=True):
    """An answer: a status, and the document, if there is one."""

    status: int
    body: bytes = b""


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def handle(broker: Broker, request: Request) -> Response:
    """Does what a request asks for."""
    try:
        with broker.world:
            return _Handling(broker, request).handle()
    except BrokerError as error:
        status = {Condition.INVALID_FIELD: 400, Condition.NOT_ALLOWED: 400}.get(error.condition, error.status)
        return _failed(status, error.text)
    except Refused as error:
        return _failed(error.status, str(error))
    except ValueError as error:  # what the body says can't be read
        return _failed(400, str(error))


class _Handling:
    def __init__(self, broker: Broker, request: Request) -> None:
        self._entities = broker.entities
        self._place = Place(entities=broker.entities, host=urlsplit(request.origin).netloc, tier=broker.tier)
        self._now = broker.world.now()
        self._request = request
        self._path = unquote(request.path).strip("/")

    def handle(self) -> Response:
        request, lowered = self._request, self._path.lower()
        listed = self._listed(lowered)
        if listed is not None:
            return self._page(listed, self._path)
        if lowered == "$namespaceinfo" and request.method == "GET":
            return self._namespace()
        found = self._named()
        match request.method:
            case "GET":
                return self._got(found)
            case "PUT":
                return self._put(found)
            case "DELETE" if found is not None:
                resource, name = found
                resource.delete(name)
                return Response(200)
            case "DELETE":
                raise Refused(404, f"The messaging entity '{self._path}' could not be found.")
        raise Refused(405, f"{request.method} isn't a method of the administration; it has GET, PUT and DELETE")

    # ── where ────────────────────────────────────────────────────────────────────────────────────────────

    def _listed(self, lowered: str) -> Resource | None:
        if self._request.method != "GET":
            return None
        if lowered in {"$resources/queues", "$resources/topics"}:
            return Queues(self._place) if lowered.endswith("queues") else Topics(self._place)
        parent, _, last = self._path.rpartition("/")
        if last.lower() == "subscriptions" and parent:
            return Subscriptions(self._place, parent)
        subscription = Address(parent).split_subscription()
        return Rules(self._place, *subscription) if last.lower() == "rules" and subscription else None

    def _named(self) -> tuple[Resource, str] | None:
        """The kind and the name at the path; of queues and topics, the one that exists."""
        parent, _, name = self._path.rpartition("/")
        grandparent, _, middle = parent.rpartition("/")
        subscription = Address(grandparent).split_subscription()
        if middle.lower() == "rules" and subscription is not None:
            return Rules(self._place, *subscription), name
        subscription = Address(self._path).split_subscription()
        if subscription is not None:
            return Subscriptions(self._place, subscription[0]), subscription[1]
        if self._entities.find_queue(Address(self._path)) is not None:
            return Queues(self._place), self._path
        if self._entities.find_topic(Address(self._path)) is not None:
            return Topics(self._place), self._path
        return None

    # ── what ─────────────────────────────────────────────────────────────────────────────────────────────

    def _got(self, found: tuple[Resource, str] | None) -> Response:
        try:
            if found is not None:
                resource, name = found
                return Response(200, _bytes(self._entry(resource.get(name), self._path)))
        except BrokerError as error:
            if error.condition is not Condition.NOT_FOUND:
                raise
        # The service answers so, and the clients take it for "doesn't exist".
        return Response(200, _bytes(atom.feed(self._address(self._path), "Publicly Listed Services", [], self._now)))

    def _put(self, found: tuple[Resource, str] | None) -> Response:
        description = atom.parse(self._request.body)
        kind = atom.local(description)
        if found is None:
            if self._request.if_match:
                raise Refused(404, f"The messaging entity '{self._path}' could not be found.")
            new: Mapping[str, Resource] = {
                Queues.kind: Queues(self._place),
                Topics.kind: Topics(self._place),
            }
            if kind not in new:
                raise Refused(400, f"{kind} is no description of a queue or a topic")
            found = new[kind], self._path
        resource, name = found
        if kind != resource.kind:
            status = 409 if resource.kind in {Queues.kind, Topics.kind} else 400
            raise Refused(status, f"'{self._path}' is described by a {resource.kind}, not by a {kind}")
        (resource.update if self._request.if_match else resource.create)(name, description)
        return Response(200 if self._request.if_match else 201, _bytes(self._entry(resource.get(name), self._path)))

    def _page(self, resource: Resource, path: str) -> Response:
        skip, top = self._number("$skip", 0), min(self._number("$top", MAX_PAGE), MAX_PAGE)
        names = resource.names()
        page = names[skip : skip + top]
        parent = "" if path.lower().startswith("$resources/") else f"{path}/"
        entries = [self._entry(resource.get(name), parent + name) for name in page]
        address = self._address(path)
        more = f"{address}?$skip={skip + top}&$top={top}" if page and skip + top < len(names) else None
        return Response(200, _bytes(atom.feed(address, path.rpartition("/")[2], entries, self._now, more)))

    def _namespace(self) -> Response:
        info = atom.description("NamespaceInfo")
        now = atom.moment(self._now)
        atom.fill(
            info,
            {
                "CreatedTime": now,
                "MessagingSKU": self._place.tier,
                "ModifiedTime": now,
                "Name": _NAMESPACE,
                "NamespaceType": "Messaging",
            },
        )
        item = Item(name=_NAMESPACE, description=info, created_at=self._now, updated_at=self._now)
        return Response(200, _bytes(self._entry(item, "$namespaceinfo")))

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────

    def _number(self, name: str, default: int) -> int:
        text = self._request.query.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Refused(400, f"{name} is {text!r}, not a whole number")
        return int(text)

    def _address(self, path: str) -> str:
        return f"{self._request.origin}/{path}"

    def _entry(self, item: Item, path: str) -> ET.Element:
        return atom.entry(self._address(path), item.name, item.description, item.created_at, item.updated_at)


def _failed(status: int, text: str) -> Response:
    return Response(status, _bytes(atom.failure(status, f"SubCode={status}00. {text}")))


def _bytes(element: ET.Element) -> bytes:
    document: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=True)
    return document
