"""`Edge`: an app as a Lambda function has it, opened at the first invocation and kept for the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloudq.app import App
from cloudq.core.delivery import Lease
from cloudq.core.url import parse_url
from cloudq.drivers.sqs.event_source import Arrival, Origin, lease_of
from cloudq.errors import ConfigurationError
from cloudq.running.runner import HostRunner

if TYPE_CHECKING:
    from cloudq.drivers.sqs import SQSDriver


class Edge(HostRunner):
    """What invocations share. Makes no client of SQS: that waits for something that needs one.

    Args:
        app: The app; its modules are imported and its tasks checked.

    Raises:
        ConfigurationError: Its backend isn't SQS, or a module can't be imported.
        TaskDefinitionError: A type can't travel as JSON.
    """

    def __init__(self, app: App) -> None:
        url = parse_url(app.url)
        if url.scheme != "sqs":
            raise ConfigurationError(
                f"a Lambda function works on queues of Amazon SQS, and the app's backend is {url.scheme}://",
                hint="set CLOUDQ_URL to sqs://REGION, e.g. sqs://eu-west-1?prefix=prod-",
            )
        super().__init__(app, freezes=True)
        self.origin = Origin(
            region=url.host or None, prefix=url.parameters.get("prefix", ""), account=url.parameters.get("account")
        )

    @property
    def driver(self) -> SQSDriver:
        """The driver; opened, and its client made, at the first use."""
        from cloudq.drivers.sqs import SQSDriver

        driver = self.app.driver()
        if not isinstance(driver, SQSDriver):
            raise ConfigurationError(
                f"the app was lent a {type(driver).__name__}, and the function's messages are on Amazon SQS",
                hint="lend it an SQSDriver, or test the tasks themselves with cloudq.testing",
            )
        return driver

    def located(self, arrivals: Sequence[Arrival]) -> list[Lease]:
        """The leases of records of one queue, with what settles them. Makes no call."""
        url = self.driver.locate(arrivals[0].delivery.queue, arrivals[0].account)
        return [lease_of(arrival, url) for arrival in arrivals]
