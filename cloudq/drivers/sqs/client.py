"""The botocore client: configured for queues, and made anew after a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, TypeAlias

from cloudq.drivers.sqs.limits import MAX_WAIT
from cloudq.errors import ConfigurationError

SqsClient: TypeAlias = Any
"""A botocore client of SQS, or what behaves like one. botocore makes its classes at run time, so it has no type."""

# A receive under way holds a connection for a whole long poll, besides those of senders and settlers.
POOL: Final = 64
_CONNECT: Final = 5
# Above the long poll, or each idle poll would end as an error.
_READ: Final = MAX_WAIT.total_seconds() + 10


def open_client(region: str | None, endpoint_url: str | None, service: str = "sqs") -> SqsClient:
    """A client whose credentials, and where not given region and endpoint, come from the SDK's own chain.

    Raises:
        ConfigurationError: No region is given or configured, or one of the two can't be.
    """
    # Not before a driver is opened: they take a tenth of a second to load.
    from boto3.session import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        core = get_session()
        session = Session(botocore_session=core)
        config = Config(
            # As it is by default, but made once: botocore makes it twice a call, for a sixth of the call's cost.
            user_agent=core.user_agent(),
            # One try a call: CloudQueue, the settler and the poller try again, and two of them would multiply.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            max_pool_connections=POOL,
            tcp_keepalive=True,
            # The service checks too; here it would cost more than making the request.
            parameter_validation=False,
        )
        return session.client(service, region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"no client of Amazon SQS can be made: {error}",
            hint="sqs://REGION names the region, e.g. sqs://eu-west-1; otherwise the SDK's own settings do",
        ) from error


class Clients:
    """One client a process, shared by its threads: after a fork a connection must not be used by both."""

    def __init__(self, make: Callable[[], SqsClient]) -> None:
        self._make = make
        self._lock = Lock()
        self._client = make()
        self._pid = os.getpid()

    def get(self) -> SqsClient:
        """This process's client."""
        if self._pid == os.getpid():
            return self._client
        return self._made_again()

    def close(self) -> None:
        """Closes the connections that are idle; one in use is closed at the end of its call."""
        if self._pid == os.getpid():
            self._client.close()

    def after_fork(self) -> None:
        """In the child: a thread that doesn't exist here may have held the lock."""
        self._lock = Lock()

    def _made_again(self) -> SqsClient:
        with self._lock:
            if self._pid != os.getpid():
                self._client = self._make()
                self._pid = os.getpid()
            return self._client
