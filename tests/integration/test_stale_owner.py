"""A worker that stands still for longer than its claim, on each store: when it goes on it changes nothing any more.

```
 A   claims ─ runs ─ SIGSTOP ┄┄┄┄┄┄┄ its claim lapses ┄┄┄┄┄┄┄ SIGCONT ─ renews ─ completes, or releases: refused
 B                                      claims (a greater token) ─────────────────────────────────────── completes
```
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store import Claimed, ClaimKey, InProgress, Record, RecordState, Store
from cloudq.stores.opening import open_store
from localstack.start import CREDENTIALS
from tests.integration.processes import wait_until
from tests.moto_server import moto_server
from tests.servers import databases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KEY = ClaimKey("charge", "order-42")
LEASE, KEEP = timedelta(seconds=3), timedelta(days=1)
# DynamoDB has others wait for 10 seconds more: its clients' clocks may differ by that.
PATIENCE = 60.0

OWNER = """
import sys
from datetime import timedelta

from cloudq import App, Context, Retry
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.processor import no_time_limit
from cloudq.running.processing import processor_of

app = App("memory://", store=sys.argv[1])


@app.task("charge", idempotency_key="order-{order}", lease=timedelta(seconds=3))
def charge(context: Context, order: int) -> None:
    print("runs", context.fence, flush=True)
    sys.stdin.readline()
    context.lease_lost.wait(float(sys.argv[3]))
    print("lost", context.lease_lost.is_set(), flush=True)
    if sys.argv[2] == "fails":
        raise Retry("too late")


message = Message(id="1", task="charge", queue="default", payload={"order": 42}, idempotency_key="order-42")
now, elapsed = app.clock.now(), app.clock.elapsed()
lease = Lease(queue="default", receipt=None, expires_at=now, ends=elapsed + timedelta(hours=1))
delivery = Delivery(
    queue="default", id="1", body=b"", message=message, undecodable=None, attempt=1, deliveries=1, lease=lease
)
print("ended", type(processor_of(app, no_time_limit).process(delivery)).__name__, flush=True)
"""


@pytest.fixture
def sqlite_store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/keys.db"


@pytest.fixture
def postgresql_store(postgresql: str) -> str:
    return migrated(postgresql)


@pytest.fixture
def mariadb_store(mariadb: str) -> str:
    return migrated(mariadb)


@pytest.fixture
def redis_store() -> Iterator[str]:
    server = databases.Redis(**{"maxmemory-policy": "noeviction"})
    yield f"redis://127.0.0.1:{server.port}"
    server.close()


@pytest.fixture
def dynamodb_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from botocore.session import get_session

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with moto_server() as url:
        get_session().create_client("dynamodb", region_name="eu-west-1", endpoint_url=url).create_table(
            TableName="claims",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield f"dynamodb://claims?region=eu-west-1&endpoint_url={url}"


def migrated(url: str) -> str:
    """A database with the tables."""
    from cloudq.core.store_url import parse_store_url
    from cloudq.stores.sql import schema
    from cloudq.stores.sql.url import engine_of

    engine = engine_of(parse_store_url(url), timedelta(seconds=20))
    schema.migrate(engine)
    engine.dispose()
    return url


class Owner:
    """A process that has claimed the key, and runs."""

    def __init__(self, url: str, ending: str, folder: Path, *, waits: float = 60.0) -> None:
        script = folder / "owner.py"
        script.write_text(OWNER)
        self._process = subprocess.Popen(
            [sys.executable, str(script), url, ending, str(waits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            self.fence = int(self.said("runs"))
        except BaseException:
            self.end()
            raise

    def said(self, what: str) -> str:
        """The rest of its next line, which begins so."""
        stdout = self._process.stdout
        assert stdout is not None
        assert select.select([stdout], [], [], PATIENCE)[0], f"it doesn't say {what!r}"
        word, _, rest = stdout.readline().strip().partition(" ")
        assert what == word, (word, rest)
        return rest

    def stand_still(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


def taken_over(store: Store) -> int:
    """The token of a successor, which has the key once the first claim has lapsed."""
    until = SYSTEM_CLOCK.elapsed().total_seconds() + PATIENCE
    while True:
        claim = store.claim(KEY, owner="successor", lease=timedelta(hours=1), fingerprint=None, keep=KEEP)
        if isinstance(claim, Claimed):
            return claim.token
        assert isinstance(claim, InProgress)
        assert SYSTEM_CLOCK.elapsed().total_seconds() < until, "the claim of a worker that stands still doesn't lapse"
        time.sleep(0.2)  # what is waited for is another program's time


def seen(store: Store) -> Record:
    record = store.show(KEY)
    assert record is not None
    return record


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes can't be stopped on this platform")
@pytest.mark.parametrize("ending", ["succeeds", "fails"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb", "redis", "dynamodb"])
def test_a_stale_owner_changes_nothing(kind: str, ending: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """It sees that its claim is lost, and can neither complete nor release nor renew what its successor has."""
    url = request.getfixturevalue(f"{kind}_store")
    url += f"{'&' if '?' in url else '?'}prefix={ending}"  # the servers are other tests', too
    store = open_store(url, namespace="cloudq")
    owner = Owner(url, ending, tmp_path)
    try:
        # It renews its claim: a busy machine may have it do so late.
        wait_until(lambda: seen(store).state is RecordState.IN_PROGRESS, within=PATIENCE, what="its claim is there")
        owner.stand_still()
        token = taken_over(store)
        assert token > owner.fence
        owner.go_on()
        assert "True" == owner.said("lost")
        # Finished work isn't repeated, so its message is acknowledged; what failed waits for the successor.
        assert {"succeeds": "Acked", "fails": "Retried"}[ending] == owner.said("ended")
        assert (RecordState.IN_PROGRESS, token, "successor") == (
            seen(store).state,
            seen(store).token,
            seen(store).owner,
        )
        for call in (
            lambda: store.renew(KEY, owner.fence, LEASE),
            lambda: store.complete(KEY, owner.fence, result=b"stale", keep=KEEP),
            lambda: store.release(KEY, owner.fence),
        ):
            assert not call()
        assert store.complete(KEY, token, result=b"the successor's", keep=KEEP)
        assert not store.complete(KEY, owner.fence, result=b"stale", keep=KEEP)
        assert b"the successor's" == seen(store).result
    finally:
        owner.end()
        store.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes can't be stopped on this platform")
def test_who_wakes_before_anybody_came_still_has_it(sqlite_store: str, tmp_path: Path) -> None:
    """Its claim had lapsed, and nobody had taken it over: its work is recorded, however late."""
    store = open_store(sqlite_store, namespace="cloudq")
    owner = Owner(sqlite_store, "succeeds", tmp_path, waits=2.0)
    try:
        owner.stand_still()
        until = SYSTEM_CLOCK.elapsed().total_seconds() + PATIENCE
        while seen(store).state is not RecordState.LAPSED:
            assert SYSTEM_CLOCK.elapsed().total_seconds() < until
            time.sleep(0.2)  # what is waited for is another program's time
        owner.go_on()
        assert "False" == owner.said("lost")
        assert "Acked" == owner.said("ended")
        assert (RecordState.COMPLETED, owner.fence) == (seen(store).state, seen(store).token)
    finally:
        owner.end()
        store.close()
