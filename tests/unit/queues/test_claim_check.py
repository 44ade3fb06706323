"""Claim checks: payloads in a store, and messages that refer to them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import sys
import threading
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, RetryPolicy
from cloudq.core import wire
from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.core.outcome import Acked, DeadLettered
from cloudq.core.reference import MAX_KEY, Reference, is_key, is_sha256
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    CloudqError,
    ConfigurationError,
    MessageTooLarge,
    PayloadLost,
    PayloadUnavailable,
    PermissionDenied,
    SendManyError,
    StorageFull,
    UndecodableError,
)
from cloudq.queues.claim_check import UPLOADS_AT_ONCE, ClaimCheck, save_blobs
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.urls import backend_url, claim_check_url
from cloudq.testing import FakeClock, in_memory, run_all, sent
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_like
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.queues.stores import FlakyFileSystem, blobs, flaky_store, put

BIG = "x" * 5000
THRESHOLD = 2048
PROFILES = {"memory": None, "sqs": sqs_like, "cloud tasks": cloud_tasks_like, "service bus": service_bus_like}
HOUR = timedelta(hours=1)


@pytest.fixture
def store():
    with flaky_store() as url:
        yield f"{url}?threshold={THRESHOLD}"


def app_of(store, capabilities=None, **options):
    """An app in memory, on a clock that stands still, with a store that fails when told to."""
    clock = FakeClock()
    app = App(claim_check=store, **options)
    app.__dict__["block"] = block = app.using(MemoryDriver(clock=clock, capabilities=capabilities), clock=clock)
    return block.__enter__()


def takes_text(app, got, name="t", **options):
    @app.task(name, **options)
    def task(text: str) -> None:
        got.append(text)

    return task


def bodies(app):
    """What the queue was given."""
    return [json.loads(item.body) for item in app.driver().sent]


def the_blob():
    """The only blob there is: its path."""
    (path,) = blobs()
    return path


# ── the way there and back ───────────────────────────────────────────────────────────────────────────────


@given(length=st.integers(-40, 40), text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_payload_arrives_however_it_travels(length, text):
    """The largest body that carries its payload has exactly `threshold` bytes; both ways give the same payload."""
    with flaky_store() as url:
        app, got = app_of(f"{url}?threshold={THRESHOLD}"), []
        task = takes_text(app, got)
        text = text + "x" * (THRESHOLD + length - len(wire.encode(Message(
            id="0" * 36, task="t", queue="default", payload={"text": text}, sent_at=app.clock.now()
        ))))  # fmt: skip
        task.send(text)
        (body,) = app.driver().sent
        assert ("dataref" in json.loads(body.body), len(blobs())) == ((True, 1) if length > 0 else (False, 0))
        assert len(body.body) <= THRESHOLD
        run_all(app, raise_errors=True)
        assert [text] == got


def test_the_message_has_a_reference_in_place_of_its_payload(store):
    """CloudEvents' dataref, relative; the SHA-256 and the size; and a wire version that older readers refuse."""
    app = app_of(store)
    takes_text(app, []).send(BIG)
    (body,) = bodies(app)
    assert "data" not in body
    assert (2, len(BIG) + 11) == (body["wireversion"], body["datasize"])
    assert the_blob().endswith(body["dataref"])
    assert f"{app.clock.now():%Y-%m-%d}/" == body["dataref"][:11]
    assert {"text": BIG} == json.loads(blobs()[the_blob()])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_without_a_threshold_the_queues_own_limit_counts(profile):
    """What the queue takes travels in it; what it doesn't is stored."""
    with flaky_store() as url:
        app, got = app_of(url, profile), []
        task = takes_text(app, got)
        limit = app.queue("default").capabilities.max_body
        task.send("x" * (limit - 600))
        assert {} == blobs()
        task.send("x" * limit)
        assert 1 == len(blobs())
        run_all(app, raise_errors=True)
        assert [limit - 600, limit] == sorted(map(len, got))


def test_a_threshold_above_the_queues_limit_is_the_limit(store):
    """A message isn't refused because the threshold promised too much."""
    with flaky_store() as url:
        app, got = app_of(f"{url}?threshold=99999999", cloud_tasks_like), []
        takes_text(app, got).send("x" * 200_000)
        run_all(app, raise_errors=True)
        assert 200_000 == len(got[0])


def test_async_code_sends_and_async_tasks_receive(store):
    """The loop never waits for the store: an upload is a flusher's, a download has a thread of its own."""
    app, got = app_of(store), []

    @app.task("a")
    async def task(text: str) -> None:
        got.append(text)

    async def main():
        await task.asend(BIG)
        FlakyFileSystem.threads.append("sent")
        await asyncio.to_thread(run_all, app)

    asyncio.run(main())
    assert [BIG] == got
    upload, _, download = FlakyFileSystem.threads
    assert (True, True) == (upload.startswith("cloudq-send-"), download.startswith("cloudq-load"))


def test_eager_mode_needs_no_store(store):
    """Nothing is stored, so nothing is too large."""
    app, got = app_of(store), []
    task = takes_text(app, got)
    with app.eager():
        task.send(BIG)
    assert ([BIG], {}) == (got, blobs())


def test_a_test_in_memory_keeps_its_payloads_in_memory():
    """Whatever store the app has: no test writes to a bucket; what was sent shows its payload; nothing is left."""
    app, got = App(claim_check=f"file:///nowhere/at/all?threshold={THRESHOLD}"), []
    task = takes_text(app, got)
    with in_memory(app):
        task.send(BIG)
        assert "dataref" in bodies(app)[0]
        (message,) = sent(app)
        assert ({"text": BIG}, None) == (message.payload, message.reference)
        run_all(app, raise_errors=True)
        assert [BIG] == got
    assert [] == [path for path in fsspec.filesystem("memory").store if "cloudq-" in path]


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_blob_is_stored_before_the_message(store):
    """A crash, or an error, between the two leaves a blob that nothing refers to, never the reverse."""

    class Failing(MemoryDriver):
        def send(self, outgoing):
            assert 1 == len(blobs())
            return [SendResult(error=BackendError("no"))] * len(outgoing)

    app = App(claim_check=store)
    with app.using(Failing(clock=FakeClock()), clock=FakeClock()), pytest.raises(BackendError):
        takes_text(app, []).send(BIG)
    assert 1 == len(blobs())


def test_a_store_that_fails_fails_the_send_and_nothing_is_sent(store):
    """Nothing may refer to a blob that isn't there."""
    app = app_of(store)
    FlakyFileSystem.down = PermissionError("not you")
    with pytest.raises(PermissionDenied, match="PermissionError: not you"):
        takes_text(app, []).send(BIG)
    assert [] == bodies(app)


def test_a_store_that_fails_for_a_moment_is_tried_again(store):
    """As a backend is: the send succeeds, and uploads each blob once."""
    app, times = app_of(store), []

    def meanwhile():
        times.append(1)
        if len(times) == 1:
            raise ConnectionError("reset")

    FlakyFileSystem.meanwhile = meanwhile
    takes_text(app, []).send(BIG)
    assert (2, 1, 1) == (len(times), len(blobs()), len(bodies(app)))


def test_a_blob_isnt_stored_again_where_only_its_message_failed(store):
    """A backend that fails for a moment costs no second upload."""

    class Failing(MemoryDriver):
        failed = 0

        def send(self, outgoing):
            if self.failed == 0:
                self.failed = 1
                return [SendResult(error=BackendUnavailable("a moment"))] * len(outgoing)
            return super().send(outgoing)

    uploads = []
    FlakyFileSystem.meanwhile = lambda: uploads.append(1)
    app = App(claim_check=store)
    with app.using(Failing(clock=FakeClock()), clock=FakeClock()):
        takes_text(app, []).send(BIG)
    assert [1] == uploads


def test_many_are_uploaded_several_at_once_but_not_all(store):
    """As many as `UPLOADS_AT_ONCE` are under way together."""
    app, lock, now, most = app_of(store), threading.Lock(), [0], []
    together = threading.Barrier(UPLOADS_AT_ONCE)

    def meanwhile():
        with lock:
            now[0] += 1
            most.append(now[0])
        together.wait(60)
        with lock:
            now[0] -= 1

    FlakyFileSystem.meanwhile = meanwhile
    task = takes_text(app, [])
    app.send_many([task.call(BIG + str(number)) for number in range(3 * UPLOADS_AT_ONCE)])
    assert (UPLOADS_AT_ONCE, 3 * UPLOADS_AT_ONCE) == (max(most), len(blobs()))


def test_a_blob_that_fails_fails_its_own_message_only(store):
    """The others of the batch are sent, small and large, each result in its place."""
    app, times = app_of(store), []

    def meanwhile():
        times.append(1)
        if len(times) == 1:
            raise OSError(errno.ENOSPC, "full")

    FlakyFileSystem.meanwhile = meanwhile
    task = takes_text(app, [])
    with pytest.raises(SendManyError) as raised:
        app.send_many([task.call("small"), task.call(BIG), task.call("small"), task.call(BIG)])
    kinds = [type(result).__name__ for result in raised.value.results]
    assert sorted(kinds) == ["Sent", "Sent", "Sent", "StorageFull"]
    assert (3, 1) == (len(bodies(app)), len(blobs()))
    assert "Sent" == kinds[0] == kinds[2]


def test_order_is_kept_where_large_and_small_alternate(store):
    """A large one isn't overtaken while it is uploaded, however it is sent."""
    app, got = app_of(store), []
    task = takes_text(app, got, queue="q.fifo", ordering_key="same")
    texts = [f"{number}" + (BIG if number % 2 == 0 else "") for number in range(8)]

    async def main():
        await asyncio.gather(*(task.asend(text) for text in texts))

    asyncio.run(main())
    run_all(app, raise_errors=True)
    assert texts == got


def test_a_message_that_refers_to_a_payload_already_isnt_given_another(store):
    """Sent on by hand, with headers larger than the threshold, it keeps its reference."""
    queue = CloudQueue("q", MemoryDriver(clock=FakeClock()), claim_check=ClaimCheck(store))
    reference = Reference(key="a/b", sha256="0" * 64, size=5)
    message = Message(id="1", task="t", queue="q", reference=reference, headers={"h": "x" * 3000})
    assert reference == wire.decode(queue.prepared(message).body, "q").reference


def test_what_isnt_the_payload_still_has_to_fit(store):
    """Headers aren't moved to the store; refused, nothing is uploaded."""
    app = app_of(store, cloud_tasks_like)
    task = takes_text(app, []).options(headers={"h": "x" * 200_000})
    with pytest.raises(MessageTooLarge):
        task.send(BIG)
    assert {} == blobs()


def test_what_no_worker_would_read_is_refused(store, monkeypatch):
    """A blob has an upper bound, too."""
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 4000)
    with pytest.raises(MessageTooLarge, match="at most 4,000 are read"):
        takes_text(app_of(store), []).send(BIG)


def test_without_a_store_it_is_too_large():
    """As ever, and the hint names the way out."""
    with in_memory(App(), capabilities=cloud_tasks_like) as app, pytest.raises(MessageTooLarge) as raised:
        takes_text(app, []).send("x" * 200_000)
    assert "set CLOUDQ_CLAIM_CHECK to a store for large payloads" in raised.value.hint


# ── copies share the blob ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_retries_hops_dead_letters_and_redrives_share_one_blob(store, profile):
    """Every copy refers to the blob of the first send; nothing is uploaded again, and settling deletes nothing."""
    policy = RetryPolicy(stop=stop_after_attempt(3), wait=wait_fixed(600))
    app, got, broken = app_of(store, profile, retry=policy), [], [True]

    @app.task("t")
    def task(text: str) -> None:
        got.append(text)
        if broken[0]:
            raise ValueError("broken")

    task.options(delay=45 * timedelta(days=1)).send(BIG)
    before = blobs()
    report = run_all(app)
    assert ([BIG] * 3, 1) == (got, len(report.dead_letters))
    (dead,) = report.dead_letters
    assert (dead.message.reference.key, {}) == (bodies(app)[0]["dataref"], dead.message.payload)
    broken[0] = False
    assert 1 == app.queue("default").dead_letters.redrive().redriven
    assert [Acked()] == [run.outcome for run in run_all(app).runs]
    assert ([BIG] * 4, before) == (got, blobs())


def test_a_dead_letter_always_has_room(store):
    """Semantics 6: whatever the threshold, no body is larger than the queue's limit less its 16 KiB."""
    app = app_of(store, cloud_tasks_like, retry=RetryPolicy(stop=stop_after_attempt(1)))

    @app.task("t")
    def task(text: str) -> None:
        raise ValueError("x" * 100_000)

    task.send("x" * 500_000)
    assert 1 == len(run_all(app).dead_letters)
    assert all(len(item.body) <= 84 * 1024 for item in app.driver().sent)


# ── what is fetched ──────────────────────────────────────────────────────────────────────────────────────


def spoil(change):
    path = the_blob()
    data = blobs()[path]
    put(path, change(data))
    return path, data


SPOILT = {
    "another byte": (lambda data: data[:-3] + b"y" + data[-2:], "has another SHA-256"),
    "truncated": (lambda data: data[:-1], "has 5,010 bytes"),
    "longer": (lambda data: data + b" " * 10_000_000, "has more than 5,011 bytes"),
    "empty": (lambda data: b"", "has 0 bytes"),
}


@pytest.mark.parametrize(("change", "reason"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_blob_is_dead_lettered_and_runs_once_it_is_mended(store, change, reason):
    """The task never sees it; the reason says what is wrong; mended, a redrive works."""
    app, got = app_of(store), []
    takes_text(app, got).send(BIG)
    path, data = spoil(change)
    (dead,) = run_all(app).dead_letters
    assert dead.failure.reason.startswith("payload: the blob ")
    assert reason in dead.failure.reason
    assert "cloudq.errors.PayloadLost" == dead.failure.error_type
    assert [(f"{path}", 0, len(data) + 1)] == FlakyFileSystem.reads, "no more is read than there should be"
    put(path, data)
    app.queue("default").dead_letters.redrive()
    run_all(app, raise_errors=True)
    assert [BIG] == got


def test_a_missing_blob_is_dead_lettered(store):
    """At once: no other try would find it."""
    app = app_of(store)
    takes_text(app, []).send(BIG)
    FlakyFileSystem.store.clear()
    report = run_all(app)
    assert [DeadLettered] == [type(run.outcome) for run in report.runs]
    assert f"isn't in {store.partition('?')[0]}" in report.dead_letters[0].failure.reason


def test_s3_says_of_an_empty_blob_that_the_range_is_wrong(store):
    """That is a blob that isn't what was stored, no store that is down."""
    reference = Reference(key="a", sha256="0" * 64, size=5)
    FlakyFileSystem.down = OSError(errno.EINVAL, "InvalidRange")
    with pytest.raises(PayloadLost, match="is empty"):
        ClaimCheck(store).load(reference)


def test_a_worker_without_a_store_dead_letters_and_says_so(store):
    """A slip in the configuration costs a redrive, not the message."""
    app, got = app_of(store), []
    takes_text(app, got).send(BIG)
    bare = App()
    takes_text(bare, got)
    with bare.using(app.driver(), clock=app.clock):
        (dead,) = run_all(bare).dead_letters
    assert "no claim-check store is configured here" in dead.failure.reason
    app.queue("default").dead_letters.redrive()
    run_all(app, raise_errors=True)
    assert [BIG] == got


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_store_that_is_down_costs_no_attempt(store, profile, is_async):
    """The message waits, ever longer, in the queue; when the store is back its task runs for the first time."""
    app, attempts = app_of(store, profile, retry=RetryPolicy(stop=stop_after_attempt(1))), []
    if is_async:

        @app.task("t")
        async def task(text: str) -> None:
            attempts.append(app.clock.now())
    else:

        @app.task("t")
        def task(text: str) -> None:
            attempts.append(app.clock.now())

    task.send(BIG)
    began = app.clock.now()
    FlakyFileSystem.down = ConnectionError("refused") if is_async else PermissionError("expired")
    before = len(FlakyFileSystem.threads)
    while app.clock.now() < began + 2 * HOUR:
        assert () == run_all(app, delayed=False).runs
        app.clock.advance(timedelta(minutes=1))
    reads = len(FlakyFileSystem.threads) - before
    assert 24 < reads < 60, "every five minutes, once it has lasted"
    FlakyFileSystem.down = None
    (run,) = run_all(app).runs
    assert (Acked(), 1) == (run.outcome, run.attempt)
    assert 1 == len(attempts)


def test_a_store_that_stays_down_for_a_day_is_given_up(store):
    """The dead letter says since when and why; its payload is where it was."""
    app, got = app_of(store, sqs_like), []
    takes_text(app, got).send(BIG)
    FlakyFileSystem.down = ConnectionError("refused")
    began = app.clock.now()
    for _ in range(4):
        assert () == run_all(app, delayed=False).dead_letters
        app.clock.advance(6 * HOUR)
    app.clock.advance(timedelta(minutes=6))
    (dead,) = run_all(app, delayed=False).dead_letters
    assert dead.failure.reason.startswith(f"payload: its store has been unavailable since {began:%Y-%m-%dT%H}")
    assert "refused" in dead.failure.reason
    assert 0 == dead.failure.attempts - 1
    FlakyFileSystem.down = None
    app.queue("default").dead_letters.redrive()
    run_all(app, raise_errors=True)
    assert [BIG] == got


# ── forged references ────────────────────────────────────────────────────────────────────────────────────


FORGED = ["../secret", "/secret", "a/../../secret", "file:///secret", "memory://x", "a//b", "", ".", "a\n", "x" * 513]


@pytest.mark.parametrize("key", FORGED)
def test_a_forged_reference_reads_nothing_outside_the_store(tmp_path, key):
    """Neither from the wire nor past it."""
    (tmp_path / "secret").write_text('{"text": "secret"}')
    (tmp_path / "store").mkdir()
    app, got = app_of(f"file://{tmp_path}/store"), []
    takes_text(app, got)
    event = {
        "specversion": "1.0", "id": "1", "source": "evil", "type": "t", "wireversion": 2, "dataref": key,
        "datasha256": "f5a2ed1d6c7d4ba5bd6dd2d4d6d2bcb8f9ac7a4b8bf4b8a0f1f5ad6e9c2b1a00", "datasize": 18,
    }  # fmt: skip
    app.driver().send([app.queue("default").prepared(Message(id="1", task="t", queue="default"))])
    body = json.dumps(event).encode()
    with pytest.raises(UndecodableError, match="dataref is"):
        wire.decode(body, "default")
    reference = Reference(key=key, sha256=event["datasha256"], size=18)
    for use in (ClaimCheck.load, ClaimCheck.delete):
        with pytest.raises(PayloadLost, match="not the name of a blob"):
            use(ClaimCheck(f"file://{tmp_path}/store"), reference)
    with pytest.raises(PayloadLost):
        ClaimCheck(f"file://{tmp_path}/store").save(reference, b"{}")
    assert ["secret", "store"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_links_within_a_store_of_files_are_not_followed(tmp_path, linked):
    """Whoever may write to a shared folder can't have a worker read, write or delete what lies outside of it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    blob = b'{"text": "secret"}'
    (outside / "blob.json").write_bytes(blob)
    (tmp_path / "store").mkdir()
    if linked == "folder":
        (tmp_path / "store" / "day").symlink_to(outside)
    else:
        (tmp_path / "store" / "day").mkdir()
        (tmp_path / "store" / "day" / "blob.json").symlink_to(outside / "blob.json")
    store = ClaimCheck(f"file://{tmp_path}/store")
    reference = Reference(key="day/blob.json", sha256=hashlib.sha256(blob).hexdigest(), size=len(blob))
    for use in (store.load, store.delete, lambda given: store.save(given, b"{}")):
        with pytest.raises(PayloadLost, match="behind a symbolic link"):
            use(reference)
    assert blob == (outside / "blob.json").read_bytes()


def test_the_path_to_a_store_of_files_may_have_links(tmp_path):
    """It is the operator's own: `/var/run` is one on many machines."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = ClaimCheck(f"file://{tmp_path}/store")
    blob = store.blob(Message(id="1", task="t", queue="q", payload={"text": BIG}))
    blob.save()
    assert {"text": BIG} == store.load(blob.reference)


@given(st.text(max_size=30) | st.from_regex(r"[./a-b\\:%~]{1,12}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_whatever_is_a_name_lies_below_the_store(key):
    """No name that is accepted leads out of the folder, as the operating system reads paths."""
    if is_key(key):
        path = os.path.normpath(f"/srv/store/{key}")
        assert path == f"/srv/store/{key}"


def test_what_is_a_name_and_a_digest():
    """A trailing line end isn't overlooked; the length is bounded."""
    assert [True, False, False] == [is_key("a" * MAX_KEY), is_key("a" * (MAX_KEY + 1)), is_key("a\n")]
    assert [True, False, False] == [is_sha256(text) for text in ("0" * 64, "0" * 64 + "\n", "A" * 64)]


# ── deletion, where it is wanted ─────────────────────────────────────────────────────────────────────────


def work(app):
    assert 0 == Worker(app, WorkerSettings(burst=True, lease=timedelta(seconds=30))).run()


@pytest.mark.slow
@pytest.mark.parametrize(("parameter", "left"), [("", 3), ("&delete=never", 3), ("&delete=acked", 2)])
def test_settling_deletes_a_blob_only_where_that_is_asked_for(tmp_path, store, parameter, left):
    """Semantics 3. And then only of a task that succeeded: neither a retry's copy nor a dead letter loses its blob."""
    app = App(f"sqlite:///{tmp_path}/q.db", claim_check=store + parameter)

    @app.task("good")
    def good(text: str) -> None: ...

    @app.task("bad", retry=RetryPolicy(stop=stop_after_attempt(1)))
    def bad(text: str) -> None:
        raise ValueError

    @app.task("later", retry=RetryPolicy(wait=wait_fixed(3600)))
    def later(text: str) -> None:
        raise ValueError

    for task in (good, bad, later):
        task.send(task.name + BIG)
    work(app)
    assert (1, 1) == (app.queue("default").stats().dead, app.queue("default").stats().delayed)
    app.close()
    assert left == len(blobs())
    assert left == 3 or not any(b"good" in blob for blob in blobs().values())


@pytest.mark.slow
def test_a_blob_that_cant_be_deleted_is_left_to_the_lifecycle(tmp_path, store, caplog):
    """The task is done all the same; the log says it."""
    app = App(f"sqlite:///{tmp_path}/q.db", claim_check=store + "&delete=acked")

    @app.task("t")
    def task(text: str) -> None:
        FlakyFileSystem.down = PermissionError("no deleting")

    task.send(BIG)
    work(app)
    app.close()
    assert 1 == len(blobs())
    assert "no deleting" in caplog.text


# ── the store ────────────────────────────────────────────────────────────────────────────────────────────


def test_files(tmp_path):
    """A folder of this machine's: made when it is first needed, a folder a day."""
    app, got = app_of(f"file://{tmp_path}/not/yet?threshold={THRESHOLD}"), []
    task = takes_text(app, got)
    task.send(BIG)
    (file,) = (path for path in (tmp_path / "not" / "yet").rglob("*") if path.is_file())
    assert bodies(app)[0]["dataref"] == str(file.relative_to(tmp_path / "not" / "yet"))
    run_all(app, raise_errors=True)
    assert [BIG] == got
    file.unlink()
    file.mkdir()
    task.send(BIG)
    with pytest.raises(PayloadLost):
        ClaimCheck(f"file://{tmp_path}/not/yet").load(wire.decode(app.driver().sent[0].body, "q").reference)


def test_a_full_disk_is_told_as_such(store):
    """And isn't tried again, unlike what passes by itself."""
    check = ClaimCheck(store)
    blob = check.blob(Message(id="1", task="t", queue="q"))
    for error, kind in {
        OSError(errno.ENOSPC, "x"): StorageFull,
        OSError(errno.EIO, "x"): PayloadUnavailable,
        PermissionError(): PermissionDenied,
        FileNotFoundError("bucket"): BackendError,
        NotImplementedError(): ConfigurationError,
        ValueError("a\nb"): PayloadUnavailable,
    }.items():
        FlakyFileSystem.down = error
        with pytest.raises(CloudqError) as raised:
            blob.save()
        assert kind is type(raised.value)
        assert error is raised.value.__cause__


def test_deleting_what_isnt_there_is_no_error(store):
    """Another worker may have been first."""
    ClaimCheck(store).delete(Reference(key="a", sha256="0" * 64, size=1))


def test_nothing_to_store_is_no_thread(store):
    """Batches without blobs pass as they are."""
    threads = threading.active_count()
    queue = CloudQueue("q", MemoryDriver(clock=FakeClock()), claim_check=ClaimCheck(store))
    queue.send_all([Message(id=str(n), task="t", queue="q") for n in range(5)])
    assert ({}, threads) == (save_blobs([None, None]), threading.active_count())


@pytest.mark.slow
def test_a_fork_opens_the_store_for_itself(store):
    """What was opened before isn't used on both sides."""
    check = ClaimCheck(store)
    blob = check.blob(Message(id="1", task="t", queue="q", payload={"a": 1}))
    blob.save()
    files = check._files
    pid = os.fork()
    if pid == 0:
        good = {"a": 1} == check.load(blob.reference) and check._files is not files
        os._exit(0 if good else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert check._files is files


# ── the URL ──────────────────────────────────────────────────────────────────────────────────────────────


def test_where_the_url_comes_from(monkeypatch):
    """The app's own goes before the environment's; empty is none."""
    assert [None, None, "env", "own"] == [
        claim_check_url(None, {}),
        claim_check_url(None, {"CLOUDQ_CLAIM_CHECK": ""}),
        claim_check_url(None, {"CLOUDQ_CLAIM_CHECK": "env"}),
        claim_check_url("own", {"CLOUDQ_CLAIM_CHECK": "env"}),
    ]
    monkeypatch.setenv("CLOUDQ_CLAIM_CHECK", "memory://from-environment")
    app = App("memory://")
    assert "memory://from-environment" == app.runtime.claim_check_url
    app.configure(claim_check="memory://own")
    assert "memory://own" == app.runtime.claim_check_url
    assert backend_url("memory://") == app.url
    with pytest.raises(ConfigurationError, match="claim_check is a text, not a PosixPath"):
        app.configure(claim_check=Path("x"))


@pytest.mark.parametrize("url", ["nosuch://place", "s3://bucket#x"])
def test_a_store_that_cant_be_is_refused_when_the_backend_is_opened(url):
    """By a producer's first send and by a worker's start: before anything is too large."""
    app = App("memory://", claim_check=url)
    task = takes_text(app, [])
    with pytest.raises(ConfigurationError):
        task.send("small")
    with pytest.raises(ConfigurationError):
        Worker(app)


def test_without_fsspec_the_extra_is_named(monkeypatch):
    """The module is importable without it; using a store says what to install."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match="needs the module 'fsspec") as raised:
        ClaimCheck("memory://x")
    assert "pip install 'cloudq[claimcheck]'" == raised.value.hint


def test_without_the_stores_package_it_is_named(monkeypatch):
    """Such as s3fs."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigurationError, match="needs a package that isn't installed"):
        ClaimCheck("gs://bucket")


def test_the_store_has_a_name():
    """For logs."""
    assert "ClaimCheck(memory://x)" == repr(ClaimCheck("memory://x?threshold=2000"))
