"""Where queues are, and payloads too large for them: `CLOUDQ_URL`, `CLOUDQ_CLAIM_CHECK` and their rules."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import msgspec

from cloudq.core.url import DEFAULT_URL, parse_url, shown_name
from cloudq.errors import ConfigurationError, nearest
from cloudq.queues.opening import refuse_unknown

URL_VARIABLE = "CLOUDQ_URL"
CLAIM_CHECK_VARIABLE = "CLOUDQ_CLAIM_CHECK"
CLAIM_CHECK_EXAMPLE = "s3://bucket/prefix"
# The schemes of fsspec for this machine's own files.
LOCAL_FILES = ("file", "local")
# A message that refers to its payload takes a few hundred bytes itself: below this a claim check saves nothing.
LEAST_THRESHOLD = 1024

# Set by the platform itself wherever a local file would be lost with its container, or be seen by one instance only.
_HOSTED = {
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "K_SERVICE": "Cloud Run",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
    "WEBSITE_INSTANCE_ID": "Azure App Service and Azure Functions",
    "CONTAINER_APP_NAME": "Azure Container Apps",
    "DYNO": "Heroku",
    "GAE_ENV": "App Engine",
    "GAE_INSTANCE": "App Engine",  # its flexible environment
}


_CLAIM_CHECK_PARAMETERS = ("threshold", "delete")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


class ClaimCheckUrl(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL of a store of large payloads says.

    Attributes:
        location: The URL for fsspec: all of it that isn't ours.
        threshold: Bodies of more bytes don't carry their payload; `None` for those that the queue wouldn't take.
        delete: Whether a blob is deleted once its message is.
    """

    location: str
    threshold: int | None = None
    delete: bool = False

    def __str__(self) -> str:
        """For banners and errors; there are no credentials in it."""
        return self.location


def parse_claim_check(url: str) -> ClaimCheckUrl:
    """The parts of a store's URL: `s3://bucket/prefix?threshold=65536&delete=acked`.

    Raises:
        ConfigurationError: It isn't one, holds credentials, or has a parameter that isn't known.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError("this is no URL of a claim-check store", hint=f"e.g. {CLAIM_CHECK_EXAMPLE}") from None
    if not parts.scheme or "://" not in url or "::" in url:
        raise ConfigurationError(
            "the URL of a claim-check store starts with one scheme and ://", hint=f"e.g. {CLAIM_CHECK_EXAMPLE}"
        )
    if ":" in parts.netloc.rpartition("@")[0]:
        # Not shown: it may hold a password. A name alone may be part of a location (abfs://container@account...).
        raise ConfigurationError(
            f"the {parts.scheme}:// URL of the claim-check store holds credentials",
            hint="leave them to the environment, as fsspec and the store's package read them",
        )
    if parts.fragment:
        raise ConfigurationError("the URL of a claim-check store has no #fragment")
    if parts.scheme in LOCAL_FILES and (parts.netloc or not parts.path.strip("/")):
        raise ConfigurationError(
            f"{parts.scheme}:// takes the absolute path of a folder, the same for all", hint="file:///var/lib/app/blobs"
        )
    if not (parts.netloc or parts.path.strip("/")):
        raise ConfigurationError(f"{parts.scheme}:// names no location", hint=f"e.g. {CLAIM_CHECK_EXAMPLE}")
    parameters = dict(pairs)
    for name in parameters:
        if name not in _CLAIM_CHECK_PARAMETERS:
            raise ConfigurationError(
                f"a claim-check store has no parameter {shown_name(name)}: {nearest(name, _CLAIM_CHECK_PARAMETERS)}",
                hint="what the store's package needs is set as fsspec and it read their own settings",
            )
    if len(parameters) < len(pairs):
        raise ConfigurationError("the URL of the claim-check store names a parameter twice")
    return ClaimCheckUrl(
        location=f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/"),
        threshold=_threshold(parameters),
        delete=_delete(parameters),
    )


def backend_url(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The URL in force: the given one, else `CLOUDQ_URL`, else a file in the current folder.

    Args:
        given: A URL, a bare scheme (`sqs`), or `None`.
        environment: Where to look up `CLOUDQ_URL`.

    Raises:
        ConfigurationError: A bare scheme that `CLOUDQ_URL` doesn't complete; or no URL at all where a local file
            would be lost; no backend has this scheme; or `CLOUDQ_URL` is set to nothing.
    """
    configured = environment.get(URL_VARIABLE)
    if given is not None and "://" in given:
        refuse_unknown(given)
        return given
    if given is not None:
        if not _SCHEME.fullmatch(given):
            # Not shown: it may be a connection string.
            raise ConfigurationError("what was given is neither a backend URL nor a scheme", hint=f"e.g. {DEFAULT_URL}")
        refuse_unknown(given)
        return _completed(given.lower(), configured or None)
    if configured:
        refuse_unknown(configured)
        return configured
    if configured is not None:
        # A variable that something should have filled in: the default would be a file that nobody looks at.
        raise ConfigurationError(
            f"{URL_VARIABLE} is set, but to nothing", hint=f"unset it, or set it to a backend's URL, e.g. {DEFAULT_URL}"
        )
    for variable, platform in _HOSTED.items():
        if environment.get(variable):
            raise ConfigurationError(
                f"no backend is set, and a local file would be lost on {platform} ({variable} is set)",
                hint=f"set {URL_VARIABLE} to where messages outlive the container",
            )
    return DEFAULT_URL


def claim_check_url(given: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Where payloads go that are too large for their queue: the given URL, else `CLOUDQ_CLAIM_CHECK`, else nowhere."""
    return given or environment.get(CLAIM_CHECK_VARIABLE) or None


def _completed(scheme: str, configured: str | None) -> str:
    """The URL for a bare scheme."""
    if configured is not None:
        set_scheme = parse_url(configured).scheme
        if set_scheme == scheme:
            return configured
        raise ConfigurationError(
            f"the backend {scheme!r} was asked for, but {URL_VARIABLE} names {set_scheme!r}",
            hint=f"give a whole URL, or set {URL_VARIABLE} to one that starts with {scheme}://",
        )
    if scheme == "sqlite":
        return DEFAULT_URL
    if scheme == "memory":
        return "memory://"
    raise ConfigurationError(
        f"the backend {scheme!r} needs a URL", hint=f"give one that starts with {scheme}://, or set {URL_VARIABLE}"
    )


def _threshold(parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("threshold")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12) or int(text) < LEAST_THRESHOLD:
        raise ConfigurationError(
            f"threshold is not a number of bytes, {LEAST_THRESHOLD:,} at least", hint="threshold=65536"
        )
    return int(text)


def _delete(parameters: Mapping[str, str]) -> bool:
    text = parameters.get("delete", "never")
    if text not in {"never", "acked"}:
        raise ConfigurationError("delete is neither never nor acked", hint="delete=acked")
    return text == "acked"
