"""`Edge`: an app as a function has it, opened at the first invocation and kept for the next ones."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol, runtime_checkable
from uuid import UUID

from msgspec.structs import replace

from cloudq.app import App
from cloudq.core.delivery import Lease
from cloudq.core.driver import Capabilities, PullDriver
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError
from cloudq.running.processing import refuse_strangers
from cloudq.running.runner import HostRunner

SCHEME: Final = "servicebus"


@runtime_checkable
class TokenDriver(PullDriver, Protocol):
    """A driver that settles what somebody else received, by the lock's token."""

    def lease_by_token(self, queue: str, token: UUID, *, expires_at: datetime) -> Lease:
        """The lease that the token stands for. Makes no call."""
        ...


class Edge(HostRunner):
    """What invocations share. Makes no connection to the backend: that waits for something that needs one.

    Args:
        app: The app; its modules are imported and its tasks checked.
        queue: The queue that the trigger is of.

    Raises:
        ConfigurationError: Its backend isn't Service Bus, or a module can't be imported.
        TaskDefinitionError: A type can't travel as JSON.
    """

    def __init__(self, app: App, queue: str) -> None:
        url = parse_url(app.url)
        if url.scheme != SCHEME:
            raise ConfigurationError(
                f"the trigger is of a queue of Azure Service Bus, and the app's backend is {url.scheme}://",
                hint="set CLOUDQ_URL to servicebus://NAMESPACE.servicebus.windows.net",
            )
        super().__init__(app)
        refuse_strangers(app, [queue])
        self.queue = queue

    @property
    def driver(self) -> TokenDriver:
        """The driver; opened at the first use."""
        driver = self.app.driver()
        if not isinstance(driver, TokenDriver):
            raise ConfigurationError(
                f"the app was lent a {type(driver).__name__}, and the function's messages are on Azure Service Bus",
                hint="lend it a ServiceBusDriver, or test the tasks themselves with cloudq.testing",
            )
        return driver

    def capabilities(self) -> Capabilities:
        """What the queue can do through a trigger, which settles an invocation's messages as one.

        None of them can be given back by itself, so that each retry is a copy. Dead-lettering stays native, by the
        lock's token. And a message that came back with others was handed over, but may not have run.
        """
        return replace(
            self.driver.capabilities(self.queue),
            native_retry_delay=None,
            extendable=False,
            attempt_exact=False,
        )
