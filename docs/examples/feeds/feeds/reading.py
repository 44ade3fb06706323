"""A feed over HTTP: fetched within bounds, and taken apart. Knows neither Flask nor cloudq."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

MOST_BYTES = 1_000_000
SECONDS = 10


class NoFeed(Exception):
    """What is there is no feed, and won't become one by itself."""


class Gone(Exception):
    """The site says that there is no feed any more."""


@dataclass(frozen=True)
class Item:
    """An entry, as the feed has it."""

    guid: str
    title: str
    link: str
    published: datetime


@dataclass(frozen=True)
class Document:
    """A feed, as it was read."""

    title: str
    etag: str | None
    items: list[Item]


def fetch(url: str, etag: str | None) -> Document | None:
    """The feed; `None` if it is the one of that tag still.

    Raises:
        Gone: The site answers 404 or 410.
        NoFeed: It is larger than a megabyte, or isn't RSS 2.0.
        OSError: The site can't be reached, or has an error of its own: another time it may be otherwise.
    """
    request = Request(url, headers={"User-Agent": "feeds/1.0", **({"If-None-Match": etag} if etag else {})})
    try:
        with urlopen(request, timeout=SECONDS) as answer:
            body: bytes = answer.read(MOST_BYTES + 1)
            new_etag: str | None = answer.headers["ETag"]
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.NOT_MODIFIED:
            return None
        if error.code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise Gone(f"{error.code} {error.reason}") from error
        raise
    if len(body) > MOST_BYTES:
        raise NoFeed(f"it has more than {MOST_BYTES} bytes")
    return parse(body, new_etag)


def parse(body: bytes, etag: str | None = None) -> Document:
    """An RSS 2.0 document.

    Raises:
        NoFeed: It is none.
    """
    try:
        # Python's expat fetches nothing from elsewhere, and ends the parse where entities would blow it up.
        channel = ET.fromstring(body).find("channel")
    except ET.ParseError as error:
        raise NoFeed(f"it is no XML: {error}") from error
    if channel is None:
        raise NoFeed("it has no channel, so it isn't RSS 2.0")
    return Document(_text(channel, "title"), etag, [_item(item) for item in channel.iter("item")])


def _item(item: ET.Element) -> Item:
    link = _text(item, "link")
    return Item(_text(item, "guid") or link, _text(item, "title"), link, _moment(_text(item, "pubDate")))


def _moment(text: str) -> datetime:
    """A moment in UTC, without saying so, as the table has it."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return datetime(1970, 1, 1)  # undated: at the end of the list


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()
