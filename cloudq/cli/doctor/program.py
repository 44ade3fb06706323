"""What is installed beside cloudq: SDKs in versions with known faults, and tracers that need care. As data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec

from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Where

Installed = Callable[[str], "str | None"]
"""Tells the version of a package that is installed; `None` where it isn't."""

_SQS: Final = frozenset({"sqs", "dynamodb"})
_GOOGLE: Final = frozenset({"cloudtasks"})
_AZURE: Final = frozenset({"servicebus"})
_REDIS: Final = frozenset({"redis", "rediss"})
_MYSQL: Final = frozenset({"mysql", "mariadb"})


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Versions of a package that are known to be bad.

    Attributes:
        package: Its name.
        schemes: Of which backends, and stores, it is a part.
        below: The first version that is good again, where all older ones are bad.
        exactly: The bad ones, where it is only some.
        why: What they do, and who says so.
    """

    package: str
    schemes: Collection[str]
    why: str
    below: str | None = None
    exactly: Collection[str] = ()

    def has(self, installed: str) -> bool:
        """Whether a version is one of them."""
        if self.below is not None:
            return _order(installed) < _order(self.below)
        return any(_order(installed) == _order(bad) for bad in self.exactly)

    @property
    def wanted(self) -> str:
        """What pip is asked for instead."""
        if self.below is not None:
            return f"{self.package}>={self.below}"
        return self.package + ",".join(f"!={bad}" for bad in self.exactly)


FAULTY: Final = (
    Known(
        package="azure-servicebus",
        schemes=_AZURE,
        below="7.15",
        why="it sends settlements without waiting for the answer, so that a lost lock looks like success "
        "(its 7.15.0 release, measured 2026-11)",
    ),
    Known(
        package="grpcio",
        schemes=_GOOGLE,
        exactly=("1.52.0", "1.55.0", "1.78.1"),
        why="calls hang, on Cloud Run or after a fork, whatever their deadline: grpc/grpc#31885 and #33218 (2023), "
        "#41725 and googleapis/google-cloud-python#15613 (2026-02)",
    ),
)
VULNERABLE: Final = (
    Known(package="azure-core", schemes=_AZURE, below="1.38", why="CVE-2026-21226"),
    Known(
        package="cryptography",
        schemes=_GOOGLE | _AZURE,
        below="49",
        why="CVE-2024-12797, CVE-2026-26007, GHSA-537c-gmf6-5ccf (the wheels' OpenSSL)",
    ),
    Known(package="h11", schemes=_GOOGLE, below="0.16", why="CVE-2025-43859"),
    Known(package="protobuf", schemes=_GOOGLE, below="6.33.5", why="CVE-2026-0994"),
    Known(package="pyasn1", schemes=_GOOGLE, below="0.6.3", why="CVE-2026-30922"),
    Known(package="pymysql", schemes=_MYSQL, below="1.1.1", why="CVE-2024-36039"),
    Known(package="redis", schemes=_REDIS, below="4.5.4", why="CVE-2023-28858, CVE-2023-28859"),
    Known(package="requests", schemes=_GOOGLE | _AZURE, below="2.33", why="CVE-2026-25645"),
    Known(
        package="urllib3",
        schemes=_SQS | _GOOGLE | _AZURE,
        below="2.7",
        why="CVE-2026-21441, CVE-2026-44431, CVE-2026-44432",
    ),
)


class Tracer(msgspec.Struct, frozen=True, kw_only=True):
    """A tracer that needs care.

    Attributes:
        package: Its name.
        schemes: On which backends.
        why: What it does.
        fix: What to do.
        spared: Whether it does no harm to an app that makes its spans itself (`cloudq.telemetry.instrument`).
    """

    package: str
    schemes: Collection[str]
    why: str
    fix: str
    spared: bool = False


TRACERS: Final = (
    Tracer(
        package="opentelemetry-instrumentation-boto3sqs",
        schemes=_SQS,
        why="it ends the span of the first message of a batch that is deleted only, and keeps the others for good: "
        "open-telemetry/opentelemetry-python-contrib#5061 (2026-09)",
        fix="have cloudq make the spans (docs/how-to/telemetry.md), or leave it out",
        spared=True,
    ),
    Tracer(
        package="ddtrace",
        schemes=_SQS,
        why="it adds about 400 bytes to each message after cloudq has packed the batch, so that full batches are "
        "refused and sent again in halves (ddtrace 4.16.0, measured 2026-11)",
        fix="DD_BOTOCORE_DISTRIBUTED_TRACING=false where batches are full",
    ),
)


def installed_version(package: str) -> str | None:
    """The version that is installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def look_at_program(
    schemes: Collection[str], installed: Installed = installed_version, *, traced: bool = False
) -> Iterator[Finding]:
    """Each package that is installed in a bad version, and each tracer that needs care.

    Args:
        schemes: Of the backend, and of the store.
        installed: Tells versions.
        traced: Whether the app makes its spans itself.
    """
    for fault, table in (("sdk-faulty", FAULTY), ("sdk-vulnerable", VULNERABLE)):
        for known in table:
            there = installed(known.package) if set(schemes) & set(known.schemes) else None
            if there is not None and known.has(there):
                yield _found(fault, f"{known.package} {there}: {known.why}", known.wanted)
    for tracer in TRACERS:
        concerns = set(schemes) & set(tracer.schemes) and not (traced and tracer.spared)
        there = installed(tracer.package) if concerns else None
        if there is not None:
            yield _found("tracer-care", f"{tracer.package} {there}: {tracer.why}", tracer.fix)


def _found(fault: str, what: str, right: str) -> Finding:
    return Finding(fault=FAULTS[fault], where=Where.PROGRAM, what=what, names={"right": right})


def _order(text: str) -> tuple[int, ...]:
    """A release's numbers; of 7.15.0b1 those of 7.15.0, and 7.15 is 7.15.0."""
    release = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
