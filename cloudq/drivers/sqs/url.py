"""`open_url`: what an `sqs://REGION?prefix=…` says, and the driver it opens."""

from __future__ import annotations

import re
from typing import Final

from cloudq.aws_wire.wires import wire_named
from cloudq.core.clock import Clock
from cloudq.core.plain_text import ALLOW_INSECURE, allows_insecure
from cloudq.core.url import BackendUrl
from cloudq.drivers.sqs.driver import TIMEOUT, SQSDriver
from cloudq.errors import ConfigurationError

# By the parts that all of AWS's regions have, so that a slip is seen and a new region isn't.
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]{2,5})?-(central|(north|south)(east|west)?|east|west)-[1-9][0-9]?")
_ROLE: Final = re.compile(r"arn:aws(?:-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def open_url(url: BackendUrl, clock: Clock) -> SQSDriver:
    """Opens the driver that a URL names.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendError: The backend can't be opened.
    """
    if url.path:
        raise ConfigurationError(
            "sqs:// takes a region and no path",
            hint="sqs://eu-west-1?prefix=prod- for queue names with that prefix",
        )
    if url.host and not _REGION.fullmatch(url.host):
        raise ConfigurationError("what sqs:// names is not a region of AWS", hint="its code, as in sqs://eu-west-1")
    parameters = url.only({"prefix", "account", "endpoint_url", "scheduler_role", "timeout", "wire", ALLOW_INSECURE})
    account, endpoint_url = parameters.get("account"), parameters.get("endpoint_url")
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise ConfigurationError("account is not an AWS account", hint="twelve digits")
    if endpoint_url is not None and not endpoint_url.startswith(("http://", "https://")):
        raise ConfigurationError(
            "endpoint_url starts with neither http:// nor https://", hint="endpoint_url=http://localhost:4566"
        )
    role = parameters.get("scheduler_role")
    if role is not None and not _ROLE.fullmatch(role):
        raise ConfigurationError(
            "scheduler_role is not the ARN of a role",
            hint="arn:aws:iam::123456789012:role/NAME, percent-encoded",
        )
    return SQSDriver(
        url.host or None,
        prefix=parameters.get("prefix", ""),
        account=account,
        endpoint_url=endpoint_url,
        scheduler_role=role,
        timeout=url.timeout(TIMEOUT),
        allow_insecure=allows_insecure(url),
        wire=wire_named(parameters.get("wire", "auto")),
        clock=clock,
    )
