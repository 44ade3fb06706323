"""Whether a client's calls go the SDK's own way: each function from the client to the socket is the shipped one.

Tracers, recorders and stand-ins put themselves into that way: moto by a handler of an event, ddtrace in the place of
`BaseClient._make_api_call`, httpretty in that of `socket.socket`. Who calls past them leaves gaps in traces or, worse,
reaches AWS from a test. None of them is known here by name: what isn't the SDK's own is foreign.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter, is_
from time import monotonic
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any, Final, NamedTuple, TypeAlias

import botocore.auth
import botocore.awsrequest
import botocore.client
import botocore.endpoint
import botocore.hooks
import botocore.httpsession
import urllib3.connection
import urllib3.connectionpool
import urllib3.response
import urllib3.util.connection
import urllib3.util.ssl_

# Whose code may be on the way. Our own is: connections that keep to deadlines, and looks at answers.
_HOMES: Final = frozenset(
    {"botocore", "boto3", "urllib3", "http", "socket", "ssl", "cloudq"}
    | {"_socket", "_ssl", "_io", "builtins", "contextlib", "io", "queue"}  # of what those are made
)
# Botocore's own, but on the way only if somebody asks for them: its stand-in for tests, and its reports of calls.
_ASKED_FOR: Final = ("botocore.stub", "botocore.monitoring")
# What a call emits.
_EVENTS: Final = (
    *("before-parameter-build", "provide-client-params", "before-endpoint-resolution", "before-call"),
    *("request-created", "choose-signer", "before-sign", "before-send", "response-received", "needs-retry"),
    *("before-parse", "after-call", "after-call-error"),
)
# What a client's calls go through: objects of its own,
_PARTS: Final = attrgetter("_endpoint", "_endpoint.http_session", "_request_signer", "_response_parser", "_serializer")
# what those make,
_CLASSES: Final[tuple[type, ...]] = (
    botocore.hooks.EventAliaser,
    botocore.hooks.HierarchicalEmitter,
    botocore.awsrequest.AWSRequest,
    botocore.awsrequest.AWSPreparedRequest,
    botocore.auth.SigV4Auth,
    botocore.awsrequest.AWSHTTPConnectionPool,
    botocore.awsrequest.AWSHTTPSConnectionPool,
    botocore.awsrequest.AWSHTTPConnection,
    botocore.awsrequest.AWSHTTPSConnection,
    urllib3.response.HTTPResponse,
    http.client.HTTPResponse,
)
# and what is looked up by its name when it is needed.
_NAMES: Final[tuple[tuple[Any, tuple[str, ...]], ...]] = (
    (socket, ("socket", "create_connection", "getaddrinfo")),
    (ssl, ("SSLContext", "SSLSocket")),
    (urllib3.util.connection, ("create_connection", "allowed_gai_family")),
    (urllib3.util.ssl_, ("ssl_wrap_socket",)),
    (urllib3.connection, ("ssl_wrap_socket",)),
    (botocore.awsrequest, ("AWSRequest", "AWSHTTPConnectionPool", "AWSHTTPSConnectionPool")),
)
_CLIENT: Final = vars(botocore.client.BaseClient)
_ENDPOINT: Final = vars(botocore.endpoint.Endpoint)
_SESSION: Final = vars(botocore.httpsession.URLLib3Session)
_URLLIB3: Final = vars(urllib3.connectionpool.HTTPConnectionPool)
_POOL: Final = vars(botocore.awsrequest.AWSHTTPConnectionPool)
_TLS_POOL: Final = vars(botocore.awsrequest.AWSHTTPSConnectionPool)
_SOCKET: Final = vars(socket)
_TLS: Final = vars(ssl)

# Of what is written in C. Not by their module: the wrappers of wrapt before 2 say that theirs is `builtins`, too.
_IN_C: Final = (
    *(BuiltinFunctionType, MethodDescriptorType, ClassMethodDescriptorType),
    *(MethodWrapperType, WrapperDescriptorType),
)
# Where these keep the function that they call.
_HOLDERS: Final = {staticmethod: "__func__", classmethod: "__func__", MethodType: "__func__", partial: "func"}

_Handlers: TypeAlias = Mapping[str, Sequence[Any]]
Past: TypeAlias = Callable[[Any], Any]
"""Gives what a function is without what doesn't count; others as they are."""


class Watch:
    """Tells of one client whether its calls go the SDK's own way.

    Made right after the client: the handlers that it has then, if they are the SDK's own or ours, are those that it
    may have. Whichever comes later is foreign, botocore's own too.

    Args:
        client: A botocore client that nobody else has changed.
        operations: The names of the calls, as the service has them.
        every: After how many seconds all is looked at again. What stands in for AWS is seen at the next call.
    """

    def __init__(self, client: Any, operations: Collection[str], *, every: float = 1.0) -> None:
        self._past: Past = _nothing_past
        self._client = client
        self._operations = operations
        self._every = every
        self._born: _Handlers | None = None
        # Replaced as a whole: of several threads that look, none leaves a half of what it saw.
        self._latest = _Look(None, 0.0, _never, [])
        self._look()

    def look_past(self, past: Past | None) -> None:
        """Has some of what is in the way not count from now on.

        Args:
            past: Gives what a function is without that; `None`: all counts again.
        """
        self._past = past or _nothing_past
        self._latest = _Look(None, 0.0, _never, [])

    def foreign(self) -> str | None:
        """`None` while all is the SDK's own; else what isn't, in words. Costs next to nothing: ask before each call."""
        latest = self._latest
        try:
            if monotonic() < latest.due and latest.same():
                return latest.reason
        except KeyError:
            pass  # one of the places is gone
        return self._look()

    def _look(self) -> str | None:
        latest, due = self._latest, monotonic() + self._every
        reason = latest.reason
        try:
            # Taken before it is looked at: what changes meanwhile is seen the next time.
            same, seen = _as_now(self._client), _all_on_the_way(self._client)
            if len(seen) != len(latest.seen) or not all(map(is_, seen, latest.seen)):
                handlers = _handlers(self._client, self._operations)
                self._born = self._born or handlers
                reason = next(_strangers(self._client, handlers, self._born, self._past), None)
        except (AttributeError, KeyError) as error:
            reason, same, seen = f"the SDK is built in another way: {error!r}", _never, []
        self._latest = _Look(reason, due, same, seen)
        return reason


def _never() -> bool:
    return False


def _nothing_past(value: Any) -> Any:
    return value


class _Look(NamedTuple):
    """What was seen.

    Attributes:
        reason: What is foreign, if anything is.
        due: When all is to be looked at again.
        same: Tells whether the places that are asked before each call hold what they held.
        seen: All that was on the way.
    """

    reason: str | None
    due: float
    same: Callable[[], bool]
    seen: list[Any]


def is_shipped(value: Any) -> bool:
    """Whether a function or a class is Python's, the SDK's or our own. What can't be called is."""
    kind = type(value)  # not `isinstance`: what wraps a function claims to be one
    if kind in _HOLDERS and kind is not partial:
        return is_shipped(getattr(value, _HOLDERS[kind]))
    if kind is property:
        return all(is_shipped(one) for one in (value.fget, value.fset, value.fdel))
    if kind is FunctionType or issubclass(kind, type):
        return _home(value).partition(".")[0] in _HOMES
    if issubclass(kind, _IN_C) or not callable(value):
        return True
    return (home := kind.__module__.partition(".")[0]) != "builtins" and home in _HOMES


def _as_now(client: Any) -> Callable[[], bool]:
    """Tells, whenever it is asked, whether the places by which calls are kept from AWS hold what they hold now.

    Spelt out, since it is asked before each call. By `is`, since what wraps a function equals it; from the namespaces,
    since an attribute that is wrapped is made anew for each access.
    """
    emitter, own, connects = client.meta.events._emitter, vars(client), vars(socket.socket)
    registered, attributes = emitter._lookup_cache, len(own)  # botocore begins a new cache with each registration
    call, request, attempt = _CLIENT["_make_api_call"], _ENDPOINT["make_request"], _ENDPOINT["_send"]
    send, urlopen = _SESSION["send"], _URLLIB3["urlopen"]
    plain, tls = _POOL["ConnectionCls"], _TLS_POOL["ConnectionCls"]
    kind, connect, context = _SOCKET["socket"], connects.get("connect"), _TLS["SSLContext"]
    create, lookup = _SOCKET["create_connection"], _SOCKET["getaddrinfo"]

    def same() -> bool:
        return (
            emitter._lookup_cache is registered
            and len(own) == attributes
            and _CLIENT["_make_api_call"] is call
            and _ENDPOINT["make_request"] is request
            and _ENDPOINT["_send"] is attempt
            and _SESSION["send"] is send
            and _URLLIB3["urlopen"] is urlopen
            and _POOL["ConnectionCls"] is plain
            and _TLS_POOL["ConnectionCls"] is tls
            and _SOCKET["socket"] is kind
            and _SOCKET["create_connection"] is create
            and _SOCKET["getaddrinfo"] is lookup
            and connects.get("connect") is connect
            and _TLS["SSLContext"] is context
        )

    return same


def _all_on_the_way(client: Any) -> list[Any]:
    """All that `_strangers` looks at, as it is stored."""
    parts, named = (client, *_PARTS(client)), [value for _, value in _named()]
    classes = (*map(type, parts), *_CLASSES, *(value for value in named if isinstance(value, type)))
    bases = dict.fromkeys(chain.from_iterable(kind.__mro__ for kind in classes))
    stored = chain.from_iterable(vars(one).values() for one in (*parts, *bases))
    return [client.meta.events._emitter._lookup_cache, *named, *stored]


def _named() -> Iterator[tuple[str, Any]]:
    for module, names in _NAMES:
        for name in names:
            yield f"{module.__name__}.{name}", vars(module)[name]


def _handlers(client: Any, operations: Collection[str]) -> _Handlers:
    """What would be called for each event of the calls."""
    emitter, service = client.meta.events._emitter, client.meta.service_model.service_id.hyphenize()
    names = [f"{event}.{service}.{operation}" for event in _EVENTS for operation in operations]
    return {name: tuple(emitter._handlers.prefix_search(name)) for name in names}


def _strangers(client: Any, handlers: _Handlers, born: _Handlers, past: Past) -> Iterator[str]:
    """What isn't the SDK's own, in words."""
    for event, found in handlers.items():
        yield from _in_handlers(event.partition(".")[0], found, born[event])
    for name, value in _named():
        yield from _in_place(name, past(value))
        if isinstance(value, type):
            yield from _in_class(value, past)
    for part in (client, *_PARTS(client)):
        yield from _in_object(part, past)
    for kind in _CLASSES:
        yield from _in_class(kind, past)


def _in_handlers(event: str, handlers: Sequence[Any], born: Sequence[Any]) -> Iterator[str]:
    for handler in handlers:
        home = _home(handler)
        if not is_shipped(handler) or home.startswith(_ASKED_FOR) or not any(handler is one for one in born):
            yield f"{home} has a handler for {event}"
    if len(handlers) < len(born):
        yield f"a handler of the SDK's for {event} was taken away"


def _in_object(part: Any, past: Past) -> Iterator[str]:
    kind = type(part)
    for name, value in vars(part).items():
        if hasattr(kind, name) or not is_shipped(value):  # none of the SDK's objects hides a method
            yield f"{kind.__name__}.{name} is replaced by {_home(value)}"
    yield from _in_class(kind, past)


def _in_class(kind: type, past: Past) -> Iterator[str]:
    for base in kind.__mro__:
        for name, value in vars(base).items():
            yield from _in_place(f"{base.__name__}.{name}", past(value))


def _in_place(name: str, value: Any) -> Iterator[str]:
    if not is_shipped(value):
        yield f"{name} is replaced by {_home(value)}"


def _home(value: Any) -> str:
    """The module that something's code lies in; of what wraps a function, that of what is called instead."""
    kind = type(value)
    if kind in _HOLDERS:
        return _home(getattr(value, _HOLDERS[kind]))
    if kind is FunctionType:
        return str(value.__globals__.get("__name__"))
    wrapper = getattr(value, "_self_wrapper", None)  # wrapt's, which claims to be what it wraps
    if wrapper is not None:
        return _home(wrapper) if type(wrapper) in {FunctionType, *_HOLDERS} else type(wrapper).__module__
    return str(getattr(value, "__module__", None) or kind.__module__)
