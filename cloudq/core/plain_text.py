"""Calls without TLS: to this machine only, unless the backend's URL allows it, and never without a word."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from cloudq.core.safe_log import SafeLogger
from cloudq.core.url import BackendUrl
from cloudq.errors import ConfigurationError

ALLOW_INSECURE: Final = "allow_insecure"

_log = SafeLogger("cloudq")


def check_plain_text(address: str, *, setting: str, allowed: bool) -> None:
    """Warns, once a process, of a service that is called without TLS, and refuses one on another machine.

    Tokens, signatures and payloads could be read and changed on the way there. An address that starts with `https://`
    is none of this function's business.

    Args:
        address: `http://host:port`, or `host:port` where the call isn't HTTP.
        setting: Which setting names it, for the texts. Its value, which may hold a secret, isn't shown.
        allowed: Whether the backend's URL allows it for other machines, too.

    Raises:
        ConfigurationError: It is another machine, or can't be read, and that isn't allowed.
    """
    if address.lower().startswith("https://"):
        return
    here = is_loopback(_host(address))
    if not here and not allowed:
        raise ConfigurationError(
            f"{setting} names another machine without TLS: credentials and payloads would travel in the clear",
            hint=f"use TLS; or, in a network that is yours alone, add {ALLOW_INSECURE}=1 to the backend's URL",
        )
    where = "this machine" if here else "another machine"
    warn_once(f"{setting} has a service on {where} called without TLS: right for development only")


def allows_insecure(url: BackendUrl) -> bool:
    """Whether a backend's URL says `allow_insecure=1`.

    Raises:
        ConfigurationError: It says something else than 0 or 1.
    """
    value = url.parameters.get(ALLOW_INSECURE, "0")
    if value not in {"0", "1"}:
        raise ConfigurationError(f"{ALLOW_INSECURE} is neither 0 nor 1", hint=f"leave {ALLOW_INSECURE} out")
    return value == "1"


def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant by a host's name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


@cache
def warn_once(text: str) -> None:
    """Logs a warning, once a process: of a switch that turns protection off, say."""
    _log.warning("%s", text)


def _host(address: str) -> str:
    """The host in a URL, or before a port; `""` where there is none."""
    try:
        return urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
