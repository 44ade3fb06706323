"""Botocore clients of any service, as cloudq makes them: each call once, in time, and made anew after a fork."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from threading import Lock
from typing import Any, Final, NamedTuple, TypeAlias

from cloudq.aws_wire.bounded import SharedCall
from cloudq.aws_wire.credentials import Renewal
from cloudq.aws_wire.genuine import watch
from cloudq.aws_wire.wires import Wires
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.plain_text import check_plain_text
from cloudq.core.url import check_port
from cloudq.errors import BackendUnavailable, ConfigurationError

AwsClient: TypeAlias = Any
"""A botocore client, or what behaves like one. botocore makes its classes at run time, so it has no type."""

# The SDK's own timeouts are for calls that the program itself makes with a client; ours have a deadline (`bounded`).
_CONNECT: Final = 5


class Service(NamedTuple):
    """A service that cloudq calls.

    Attributes:
        name: Botocore's name of it.
        title: What people call it.
        hint: How its region is named.
        read_timeout: For how long an answer may be silent, in seconds, where no call's deadline says less.
        pool: How many idle connections are kept.
        settings: What else its clients' `Config` has.
    """

    name: str
    title: str
    hint: str
    read_timeout: float
    pool: int
    settings: Mapping[str, Any] = {}


def open_client(
    service: Service,
    region: str | None,
    endpoint_url: str | None,
    *,
    timeout: timedelta = CALL_TIMEOUT,
    allow_insecure: bool = False,
) -> AwsClient:
    """A client whose credentials, and where not given region and endpoint, come from the SDK's own chain.

    Args:
        service: Which service's.
        region: The region, or `None` for the SDK's own settings.
        endpoint_url: Another endpoint than AWS's, or `None` for the SDK's own settings.
        timeout: How long it may take to find the credentials.
        allow_insecure: Whether an endpoint without TLS may be on another machine.

    Raises:
        ConfigurationError: No region is given or configured, or one of the two can't be; the endpoint, which
            the SDK's own settings may name, is on another machine and has no TLS; or gevent or eventlet has
            patched the program too late.
        BackendUnavailable: The credentials weren't found in time.
    """
    # Not before a driver is opened: they take a tenth of a second to load.
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    from cloudq.aws_wire.models import quicken

    refuse_late_patches()
    session = get_session()
    try:
        quicken(session.get_component("data_loader"), service.name)
        # Asked of a machine's metadata service, or a program, which may be silent. The session keeps them.
        credentials = SharedCall(session.get_credentials).result(timeout.total_seconds())
        create = _creator(session)
        config = Config(
            # As it is by default, but made once: botocore makes it twice a call, for a sixth of the call's cost.
            user_agent=session.user_agent(),
            # One try a call: CloudQueue, the settler and the poller try again, and the tries of two would multiply.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=_CONNECT,
            read_timeout=service.read_timeout,
            max_pool_connections=service.pool,
            tcp_keepalive=True,
            # The service checks too; here it would cost more than making the request.
            parameter_validation=False,
            **service.settings,
        )
        client = create(service.name, region_name=region, endpoint_url=endpoint_url, config=config)
    except TimeoutError as error:
        raise BackendUnavailable(
            f"the SDK didn't find credentials within {timeout.total_seconds():g} s",
            hint="check where its chain looks: the instance's metadata service, the container's, credential_process",
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"no client of {service.title} can be made: {error}",
            hint=f"{service.hint}; otherwise the SDK's own settings do",
        ) from error
    setting = "endpoint_url" if endpoint_url is not None else "AWS_ENDPOINT_URL, or another setting of AWS's SDK,"
    check_port(client.meta.endpoint_url, setting)
    check_plain_text(client.meta.endpoint_url, setting=setting, allowed=allow_insecure)
    _leave_user_agent(client)
    if hasattr(credentials, "refresh_needed"):
        client.meta.events.register("before-call", Renewal(credentials, service.read_timeout).renew)
    return client


def _creator(session: Any) -> Callable[..., AwsClient]:
    """What makes clients of a botocore session.

    boto3's own session only where the program has loaded boto3: tracers wrap that one's `client`. It adds nothing that
    is needed here, and a tenth to the time in which the SDK loads.
    """
    boto3 = getattr(sys.modules.get("boto3.session"), "Session", None)
    make: Callable[..., AwsClient] = session.create_client if boto3 is None else boto3(botocore_session=session).client
    return make


def refuse_late_patches() -> None:
    """Raises if somebody has put a class of its kind in the place of `ssl.SSLContext` since the SDK took it.

    The SDK's old one then calls itself without an end, and our locks, from before the patch, hold no greenlet back.
    One of another kind, as mocket's, stands in for the network and harms nobody.
    """
    from urllib3.util import ssl_

    taken = getattr(ssl_, "SSLContext", None) or ssl.SSLContext
    if ssl.SSLContext is not taken and issubclass(ssl.SSLContext, taken):
        raise ConfigurationError(
            "gevent or eventlet has patched this program after the AWS SDK was imported, so no connection to AWS works",
            hint="patch before anything is imported; with gunicorn --preload, in the first lines of its configuration "
            "file: from gevent import monkey; monkey.patch_all()",
        )


def prepare(client: AwsClient) -> AwsClient:
    """Has a client's answers looked at, and its connections keep to deadlines. A fake one is left as it is."""
    if getattr(getattr(client, "meta", None), "events", None) is not None:
        from cloudq.aws_wire.connections import bind

        watch(client)
        bind(client)
    return client


def _leave_user_agent(client: AwsClient) -> None:
    """Has botocore not put the same user agent into each request a second time: a thirtieth of the call's cost."""
    creator: Any = getattr(client, "_user_agent_creator", None)
    rebuild = getattr(creator, "rebuild_and_replace_user_agent_handler", None)
    if rebuild is not None:
        client.meta.events.unregister(f"request-created.{client.meta.service_model.service_id.hyphenize()}", rebuild)


class Clients:
    """One client a process, shared by its threads: after a fork a connection must not be used by both.

    Args:
        make: Makes it.
        wires: Has its calls that repeat made without the SDK, as long as nobody else is to see them. None for a client
            that makes all its calls.
    """

    def __init__(self, make: Callable[[], AwsClient], *, wires: Callable[[AwsClient], Wires] | None = None) -> None:
        self._make = make
        self._wired = wires
        self._passes_opentelemetry = False
        self._lock = Lock()
        self._open()

    def get(self) -> AwsClient:
        """This process's client."""
        if self._pid == os.getpid():
            return self._client
        return self._make_again()

    def caller(self) -> AwsClient:
        """What makes this process's next call: its client, or one that makes those that repeat at less cost."""
        client = self.get()
        return client if self._wires is None else self._wires.caller()

    def pass_opentelemetry(self, passes: bool) -> None:
        """See `Wires`; of the clients that are made after a fork, too."""
        self._passes_opentelemetry = passes
        if self._wires is not None:
            self._wires.pass_opentelemetry(passes)

    def close(self) -> None:
        """Closes the connections that are idle; one in use is closed at the end of its call."""
        if self._pid == os.getpid():
            (self._wires or self._client).close()

    def after_fork(self) -> None:
        """In the child: a thread that doesn't exist here may have held the lock."""
        self._lock = Lock()

    def _make_again(self) -> AwsClient:
        with self._lock:
            if self._pid != os.getpid():
                self._open()
            return self._client

    def _open(self) -> None:
        self._client = prepare(self._make())
        self._wires = None if self._wired is None else self._wired(self._client)
        if self._wires is not None and self._passes_opentelemetry:
            self._wires.pass_opentelemetry(True)
        self._pid = os.getpid()
