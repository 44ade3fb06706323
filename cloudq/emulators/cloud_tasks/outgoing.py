"""The HTTP request that an attempt sends: from the task, its queue's `http_target` and the attempt. Pure.

The headers and their values are those that the service was recorded to send (`conformance/golden/dispatch.json` of
aertje/cloud-tasks-emulator, 2026): `X-CloudTasks-TaskRetryReason`, for one, is there from the second attempt on, and
empty.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from cloudq.emulators.cloud_tasks.attempting import Begun
from cloudq.emulators.cloud_tasks.checking import METHODS, POST, USER_AGENT, WITH_BODY
from cloudq.emulators.cloud_tasks.messages import EPOCH
from cloudq.emulators.cloud_tasks.stored import StoredTask

_HTTP: Final = 1
_IF_NOT_EXISTS: Final = 1
# Of the request, not of the task: the client library sets them, or they would change what the message means.
_OURS: Final = frozenset(
    {"host", "content-length", "user-agent", "connection", "transfer-encoding", "te", "upgrade", "expect"}
)
_GOOGLES: Final = ("x-google-", "x-appengine-", "x-cloudtasks-")


class Oidc(NamedTuple):
    """An OIDC token that the request is to carry."""

    email: str
    audience: str


class OAuth(NamedTuple):
    """An OAuth access token that the request is to carry."""

    email: str
    scope: str


class Outgoing(NamedTuple):
    """A request.

    Attributes:
        method: The HTTP method.
        url: Where to.
        headers: Its headers, but for `Host`, `Content-Length` and the token.
        body: Its body, or `None` where the method has none.
        token: What to authenticate with.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    token: Oidc | OAuth | None


def outgoing(task: StoredTask, queue: Any, begun: Begun) -> Outgoing:
    """The request of this attempt. `queue` is the queue's message."""
    request = task.pb.http_request
    target = queue.http_target if queue.HasField("http_target") else None
    url: str = request.url
    method: int = request.http_method
    holder = request
    headers = _kept(request.headers.items())
    if target is not None:
        if target.HasField("uri_override"):
            url = overridden(url, target.uri_override)
        method = target.http_method or method
        if target.WhichOneof("authorization_header") is not None:
            holder = target
        for key, value in _kept((item.header.key, item.header.value) for item in target.header_overrides).items():
            for taken in [name for name in headers if name.lower() == key.lower()]:
                del headers[taken]
            headers[key] = value
    method = method or POST
    headers["User-Agent"] = USER_AGENT
    parts = task.name.split("/")
    headers["X-CloudTasks-QueueName"] = parts[5]
    headers["X-CloudTasks-TaskName"] = parts[7]
    headers["X-CloudTasks-TaskRetryCount"] = str(begun.number - 1)
    headers["X-CloudTasks-TaskExecutionCount"] = str(begun.executions)
    since = begun.scheduled - EPOCH
    headers["X-CloudTasks-TaskETA"] = f"{since.days * 86_400 + since.seconds}.{since.microseconds:06d}"
    if begun.previous is not None:
        headers["X-CloudTasks-TaskPreviousResponse"] = str(begun.previous)
        headers["X-CloudTasks-TaskRetryReason"] = ""
    token = _token(holder, url)
    if token is not None:
        for taken in [name for name in headers if name.lower() == "authorization"]:
            del headers[taken]
    return Outgoing(METHODS[method], url, headers, task.body if method in WITH_BODY else None, token)


def overridden(url: str, override: Any) -> str:
    """The task's URL with the parts that its queue replaces.

    `IF_NOT_EXISTS`: "queue-level configuration is only applied where task-level configuration does not exist".
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # it has no parts to replace; sending it will fail
    always = override.uri_override_enforce_mode != _IF_NOT_EXISTS
    scheme, host, port, path, query = _split(parts)
    if override.HasField("scheme") and (always or not scheme):
        scheme = "http" if override.scheme == _HTTP else "https"
    if override.HasField("host") and (always or not host):
        host = override.host
    if override.HasField("port") and (always or not port):
        port = str(override.port) if override.port else ""
    if override.HasField("path_override") and (always or path in {"", "/"}):
        path = override.path_override.path
    if override.HasField("query_override") and (always or not query):
        query = override.query_override.query_params
    if path and not path.startswith("/"):
        path = f"/{path}"
    return urlunsplit((scheme or "https", f"{host}:{port}" if port else host, path, query, ""))


def _split(parts: SplitResult) -> tuple[str, str, str, str, str]:
    # By hand: `parts.port` raises for what is no number, and a host in brackets has colons of its own.
    host, colon, port = parts.netloc.rpartition(":")
    if not colon or not port.isdigit():
        host, port = parts.netloc, ""
    return parts.scheme, host, port, parts.path, parts.query


def _kept(headers: Any) -> dict[str, str]:
    return {key: value for key, value in headers if key.lower() not in _OURS and not key.lower().startswith(_GOOGLES)}


def _token(holder: Any, url: str) -> Oidc | OAuth | None:
    kind = holder.WhichOneof("authorization_header")
    if kind == "oidc_token":
        # "If not specified, the URI specified in target will be used."
        return Oidc(holder.oidc_token.service_account_email, holder.oidc_token.audience or url)
    if kind == "oauth_token":
        return OAuth(holder.oauth_token.service_account_email, holder.oauth_token.scope)
    return None
