"""What each role needs permission for is what docs/reference/backends.md says, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App
from cloudq.aws_wire.wires import WireName
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import PermissionDenied
from cloudq.queues.cloud_queue import CloudQueue
from localstack.start import ACCOUNT
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response, error
from tests.integration.sqs.conftest import REGION, Place
from tests.integration.sqs.every_way import work_every_way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

DEAD = '{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}'
PAGE = Path(__file__).parents[2] / "docs/reference/backends.md"


class Only:
    """The policy of an account that allows some actions and denies all others."""

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = set(allowed)
        self.used: set[str] = set()
        self.denied: set[str] = set()

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        action = request.action.removesuffix("Batch")  # a batch needs the permission of its single call
        if action not in self.allowed:
            self.denied.add(action)
            return error(403, "AccessDenied", f"not authorized to perform sqs:{action}")
        self.used.add(action)
        return await forward(request)


def documented() -> dict[str, set[str]]:
    """The rows of the page's table: who, and the actions in its second column."""
    section = PAGE.read_text().partition("## Amazon SQS")[2].partition("### Permissions")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    return {who: set(re.findall(r"`(\w+)`", actions)) for who, actions in rows[1:]}


TABLE = documented()


@pytest.fixture
def restricted(
    proxy: HttpProxy, place: Place, queue: str, wire: WireName
) -> Iterator[Callable[..., tuple[SQSDriver, Only]]]:
    """Drivers whose account allows no more than is said."""
    drivers: list[SQSDriver] = []

    def make(allowed: Collection[str], *, account: str | None = ACCOUNT) -> tuple[SQSDriver, Only]:
        policy = proxy.policy = Only(allowed)
        driver = SQSDriver(REGION, prefix=place.prefix, account=account, endpoint_url=proxy.url, wire=wire)
        drivers.append(driver)
        return driver, policy

    yield make
    for driver in drivers:
        driver.close()


Restricted = Callable[..., tuple[SQSDriver, Only]]


def look(app: App, queue: str) -> None:
    """Reads the settings of a queue and of its dead-letter queue."""
    for name in (queue, dead_letter_queue(queue)):
        assert app.driver().queue_settings(name) is not None


def keys(app: App, queue: str) -> list[str]:
    """The key of the one dead letter that is there."""
    return [dead.key for dead in app.queue(queue).dead_letters.peek()]


def test_a_worker_needs_what_the_page_says(restricted: Restricted, place: Place, queue: str) -> None:
    """With those four permissions and `account=` it runs, renews, retries by a copy and dead-letters."""
    driver, policy = restricted(TABLE["a worker"])
    ran = work_every_way(driver, place, queue, again_in=timedelta(minutes=10))
    assert {"fine", "lasting", "again", "dies"} == set(ran)
    assert (1, 0) == place.counts(f"{queue}-dlq")
    delayed = place.client.get_queue_attributes(
        QueueUrl=place.url_of(queue), AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )
    assert "1" == delayed["Attributes"]["ApproximateNumberOfMessagesDelayed"]
    assert TABLE["a worker"] == policy.used, "the page names what isn't needed"
    assert set() == policy.denied


def test_a_producer_needs_what_the_page_says(restricted: Restricted, place: Place, queue: str) -> None:
    """It sends one, many and delayed ones."""
    driver, policy = restricted(TABLE["a producer"])
    app = App()
    task = app.task("noop")(lambda: None)
    with app.using(driver):
        task.send()
        task.options(delay=timedelta(hours=1)).send()
        app.send_many(task.call() for _ in range(20))
    assert TABLE["a producer"] == policy.used
    assert set() == policy.denied


def test_without_an_account_each_queue_is_asked_for_once(restricted: Restricted, place: Place, queue: str) -> None:
    """`GetQueueUrl` is needed then; where it is denied, that is what the error says."""
    assert {"GetQueueUrl"} == TABLE["each of them, unless `account=` is given"]
    driver, policy = restricted(TABLE["a producer"], account=None)
    app = App()
    with app.using(driver), pytest.raises(PermissionDenied, match="GetQueueUrl"):
        app.send("noop")
    assert {"GetQueueUrl"} == policy.denied
    driver, policy = restricted(TABLE["a producer"] | {"GetQueueUrl"}, account=None)
    with app.using(driver):
        for _ in range(3):
            app.send("noop")
    assert (3, 0) == place.counts(queue)
    assert {"GetQueueUrl", "SendMessage"} == policy.used


def move(queue: CloudQueue) -> None:
    """What the command does; its cancelling comes too late here, or not."""
    queue.stats()
    started = queue.dead_letters.move_all()
    started.progress()
    started.cancel()


@pytest.mark.parametrize(
    ("who", "act"),
    [
        ("`cloudq stats`", lambda app, queue: app.queue(queue).stats()),
        ("`cloudq purge`", lambda app, queue: app.queue(queue).purge()),
        ("`cloudq dlq list`, `show` and `export`", lambda app, queue: app.queue(queue).dead_letters.peek()),
        ("`cloudq dlq redrive` and `edit`", lambda app, queue: app.queue(queue).dead_letters.redrive()),
        ("`cloudq dlq redrive --all --by-service`", lambda app, queue: move(app.queue(queue))),
        ("`cloudq dlq purge --all`", lambda app, queue: app.queue(queue).dead_letters.purge()),
        ("`cloudq dlq purge` of chosen ones", lambda app, queue: app.queue(queue).dead_letters.purge(keys(app, queue))),
        ("`cloudq queues check`", look),
        ("`cloudq doctor`", look),
        ("`cloudq queues create`", lambda app, queue: app.driver().make_queue("another")),
    ],
)
def test_a_command_needs_what_the_page_says(
    restricted: Restricted, place: Place, queue: str, who: str, act: Callable[[App, str], object]
) -> None:
    """No permission more, and none less."""
    place.client.send_message(QueueUrl=place.url_of(f"{queue}-dlq"), MessageBody=DEAD)
    driver, policy = restricted(TABLE[who])
    app = App()
    with app.using(driver):
        act(app, queue)
    assert TABLE[who] == policy.used
    assert set() == policy.denied


@pytest.mark.parametrize("works", [True, False], ids=["worker", "producer"])
def test_what_is_missing_is_found_without_doing_it(
    restricted: Restricted, place: Place, queue: str, *, works: bool
) -> None:
    """`cloudq doctor`: with one right of the role taken away it names that one; with all of them, none.

    The service itself refuses each of its calls, so nothing is stored, received, deleted or hidden.
    """
    place.client.send_message(QueueUrl=place.url_of(queue), MessageBody=DEAD)
    rights = TABLE["a worker" if works else "a producer"]
    driver, policy = restricted(rights)
    assert [] == driver.missing_permissions(queue, works=works)
    for right in sorted(rights):
        driver, policy = restricted(rights - {right})
        missing = driver.missing_permissions(queue, works=works)
        assert {f"sqs:{right}"} == {one.partition(" on ")[0] for one in missing}
        assert {right} == policy.denied
    assert (1, 0) == place.counts(queue)
    assert (0, 0) == place.counts(dead_letter_queue(queue))
