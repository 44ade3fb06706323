"""The hosts that SQS has: to nobody else does a signed request go, with the session's token, on a URL's word.

By botocore's list of partitions, so that a region that it knows is known here. Of each region of a partition there are
(endpoints.json and the endpoint rules of botocore 1.44; a VPC's names are from "Creating an Amazon VPC endpoint for
Amazon SQS", Amazon SQS Developer Guide, 2026-11):

| | |
|---|---|
| `sqs.REGION.SUFFIX` | the ordinary one |
| `sqs-fips.REGION.SUFFIX` | FIPS 140 |
| `sqs.REGION.DUAL`, `sqs-fips.REGION.DUAL` | IPv4 and IPv6 |
| `REGION.queue.SUFFIX`, `queue.SUFFIX` | the names of before 2022; the short one is us-east-1's |
| `vpce-ID[-ZONE].sqs.REGION.vpce.SUFFIX`, with `sqs-fips` too | a VPC's own |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from cloudq.errors import UnsupportedError

_VPC_ENDPOINT: Final = re.compile(r"vpce-[a-z0-9]+(?:-[a-z0-9]+)*")
_SERVICES: Final = frozenset({"sqs", "sqs-fips"})
_SHORTEST_REGION: Final = "us-east-1"
_HTTPS: Final = 443


class Host(NamedTuple):
    """A host of SQS.

    Attributes:
        name: Its name.
        region: The region that it is of, and that its requests are signed for.
        ordinary: Whether the SDK calls it by its own rules, if it isn't told of another endpoint.
        plain: Whether it does so without being told to call FIPS's hosts, or those of both IPs.
    """

    name: str
    region: str
    ordinary: bool
    plain: bool


class _Partition(NamedTuple):
    suffix: str
    dual: str
    regions: re.Pattern[str]


def is_url(queue: str) -> bool:
    """Whether a queue is named by its URL."""
    return queue.startswith(("https://", "http://"))


def host_of(url: str) -> Host | None:
    """The host of SQS that a URL names, or `None` if it is none, or isn't called by TLS."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    name = (parts.hostname or "").lower()
    if parts.scheme != "https" or port not in {None, _HTTPS} or parts.username is not None:
        return None
    for partition in _partitions():
        for suffix in (partition.suffix, partition.dual):
            if name.endswith(f".{suffix}"):
                found = _region(name.removesuffix(f".{suffix}").split("."), dual=suffix == partition.dual)
                if found is not None and partition.regions.fullmatch(found[0]):
                    return Host(name, *found)
    return None


def required_host(url: str) -> Host:
    """The host of SQS that a queue's URL names.

    Raises:
        UnsupportedError: It names another host.
    """
    host = host_of(url)
    if host is None:
        raise UnsupportedError(
            f"{url!r} isn't on a host of Amazon SQS, so nothing is sent there: each request carries a signature",
            hint="a URL as SQS gives it, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or of a VPC endpoint of SQS; "
            "for another server set endpoint_url= in the backend's URL, or AWS_ENDPOINT_URL",
        )
    return host


def _region(labels: Sequence[str], *, dual: bool) -> tuple[str, bool, bool] | None:
    """The region that stands in front of a suffix, whether the form is an ordinary one, and whether the plain one."""
    match labels:
        case [service, region] if service in _SERVICES:
            return region, True, service == "sqs" and not dual
        case [vpc, service, region, "vpce"] if service in _SERVICES and not dual and _VPC_ENDPOINT.fullmatch(vpc):
            return region, False, False
        case [region, "queue"] if not dual:
            return region, False, False
        case ["queue"] if not dual:
            return _SHORTEST_REGION, False, False
    return None


@cache
def _partitions() -> tuple[_Partition, ...]:
    from botocore.session import get_session

    known: Any = get_session().get_component("data_loader").load_data("partitions")
    return tuple(
        _Partition(
            partition["outputs"]["dnsSuffix"],
            partition["outputs"]["dualStackDnsSuffix"],
            re.compile(partition["regionRegex"]),
        )
        for partition in known["partitions"]
    )
