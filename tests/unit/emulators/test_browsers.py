"""Pages in browsers get nothing of an emulator: the headers are those that Chromium sends."""

from __future__ import annotations

import socket

import pytest

from cloudq.emulators.browsers import why_refused

LOOPBACK = "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "listening"),
    [
        ({}, LOOPBACK),
        ({"host": "127.0.0.1:5300"}, LOOPBACK),
        ({"host": "localhost:5300"}, LOOPBACK),
        ({"host": "LocalHost"}, LOOPBACK),
        ({"host": "queues.localhost:5300"}, LOOPBACK),
        ({"host": "[::1]:5300"}, "::1"),
        ({"host": "127.8.8.8"}, LOOPBACK),
        ({"host": "10.0.0.5:5300"}, "10.0.0.5"),
        ({"host": "emulator:5300"}, "emulator"),
        ({"host": "10.0.0.5:5300"}, "0.0.0.0"),  # noqa: S104 - nothing listens
        ({"host": f"{socket.gethostname()}:5300"}, "::"),
        ({"host": "localhost:5300", "origin": "http://localhost:5300", "sec-fetch-site": "same-origin"}, LOOPBACK),
        ({"host": "localhost:5300", "sec-fetch-site": "none"}, LOOPBACK),
    ],
)
def test_what_is_answered(headers: dict[str, str], listening: str) -> None:
    """Programs, whose requests have none of a browser's headers, and who types the address by hand."""
    assert why_refused(headers, listening) is None


@pytest.mark.parametrize(
    ("headers", "listening", "why"),
    [
        ({"host": "evil.example"}, LOOPBACK, "Host"),
        ({"host": "evil.example:5300", "origin": "http://evil.example:5300"}, LOOPBACK, "Host"),
        ({"host": "localhost.evil.example"}, LOOPBACK, "Host"),
        ({"host": "127.0.0.1.evil.example"}, LOOPBACK, "Host"),
        ({"host": "evil.example"}, "0.0.0.0", "Host"),  # noqa: S104 - nothing listens
        ({"host": "10.0.0.5:5300"}, LOOPBACK, "Host"),
        ({"host": "127.0.0.1:5672", "origin": "https://evil.example", "sec-fetch-site": "cross-site"}, LOOPBACK,
         "another origin"),
        ({"host": "127.0.0.1:5672", "origin": "http://localhost:3000"}, LOOPBACK, "another origin"),
        ({"host": "127.0.0.1:5672", "origin": "null"}, LOOPBACK, "another origin"),
        ({"host": "127.0.0.1:5672", "origin": ""}, LOOPBACK, "another origin"),
        ({"host": "127.0.0.1:5300", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, LOOPBACK,
         "another site"),
        ({"host": "127.0.0.1:5300", "sec-fetch-site": "same-site"}, LOOPBACK, "another site"),
    ],
)  # fmt: skip
def test_what_is_refused(headers: dict[str, str], listening: str, why: str) -> None:
    """Pages of other origins, those on other ports of this machine among them, and names that were rebound."""
    assert why in (why_refused(headers, listening) or "")
