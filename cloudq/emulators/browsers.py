"""Which requests over HTTP come from a page in a browser: an emulator checks no keys, so it answers none of them.

A page anywhere on the web can have its reader's browser send requests to this machine. Then the browser
says the page's `Origin`, in a handshake of a WebSocket too, and in `Sec-Fetch-Site` that it is another. By DNS
rebinding a page makes its own name stand for 127.0.0.1, and is no foreign one then: but its name is in `Host`.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

# What a browser says of a request that the user made by hand, or that comes from the page's own origin.
_OWN = frozenset({"", "none", "same-origin"})


def why_refused(headers: Mapping[str, str], listening: str) -> str | None:
    """Why a request isn't answered; `None`: it is.

    Args:
        headers: By name, in lower case.
        listening: The address that the server listens at.
    """
    host = headers.get("host", "").strip().lower()
    if host and not _is_own(_name(host), listening.lower()):
        return "the Host isn't this machine's loopback, nor the address that the emulator listens at"
    origin = headers.get("origin")
    if origin is not None and origin.strip().lower() != f"http://{host}":
        return "a page of another origin sent this, and the emulator answers none"
    if headers.get("sec-fetch-site", "").strip().lower() not in _OWN:
        return "a page of another site sent this, and the emulator answers none"
    return None


def _name(host: str) -> str:
    """Without the port, and an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_own(name: str, listening: str) -> bool:
    if name == "localhost" or name.endswith(".localhost") or name == listening:
        return True
    address, bound = _address(name), _address(listening)
    if address is None:
        # Who listens at every address is asked by the machine's name, too.
        return bound is not None and bound.is_unspecified and name == socket.gethostname().lower()
    # A page can't choose an address for its name: only a name of its own is rebound.
    return address.is_loopback or address == bound or (bound is not None and bound.is_unspecified)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
