"""A deployment: two versions of one program, with messages of both in the queue and workers of both at it."""

from __future__ import annotations

from datetime import timedelta

import pytest

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings


@pytest.fixture
def done() -> list[str]:
    """What ran, in order."""
    return []


@pytest.fixture
def version_1(tmp_path, done) -> cloudq.App:
    """Knows `shop.mail` with one parameter, and `shop.letter`."""
    app = cloudq.App(f"sqlite:///{tmp_path}/q.db")

    @app.task("shop.mail")
    def mail(order_id: int) -> None:
        done.append(f"v1 mail {order_id}")

    @app.task("shop.letter")
    def letter(order_id: int) -> None:
        done.append(f"v1 letter {order_id}")

    return app


@pytest.fixture
def version_2(tmp_path, done) -> cloudq.App:
    """A parameter more, and `shop.letter` is `shop.post` now."""
    app = cloudq.App(f"sqlite:///{tmp_path}/q.db")

    @app.task("shop.mail")
    def mail(order_id: int, language: str = "en") -> None:
        done.append(f"v2 mail {order_id} {language}")

    @app.task("shop.post", aliases=["shop.letter"])
    def post(order_id: int) -> None:
        done.append(f"v2 post {order_id}")

    return app


def work(app: cloudq.App) -> None:
    """A worker of this version, until nothing is ready."""
    Worker(app, WorkerSettings(burst=True, concurrency=1, grace=timedelta(seconds=60))).run()


def test_new_workers_take_what_old_programs_send(version_1, version_2, done):
    """With the default of the new parameter, and by the old name: workers first is safe."""
    version_1.send("shop.mail", {"order_id": 1})
    version_1.send("shop.letter", {"order_id": 2})
    work(version_2)
    assert sorted(done) == ["v2 mail 1 en", "v2 post 2"]
    assert version_2.queue("default").stats().dead == 0


def test_workers_of_both_share_what_both_understand(version_1, version_2, done):
    """Old messages run in either; so the workers may be replaced one by one."""
    version_1.send("shop.mail", {"order_id": 1})
    work(version_1)
    version_1.send("shop.mail", {"order_id": 2})
    work(version_2)
    version_2.send("shop.mail", {"order_id": 3})
    work(version_1)
    assert done == ["v1 mail 1", "v2 mail 2 en", "v1 mail 3"]


def test_what_an_old_worker_can_not_read_waits_for_the_new_one(version_1, version_2, done):
    """The wrong order costs a redrive, and no message: its body is as it was sent."""
    version_2.send("shop.mail", {"order_id": 1, "language": "de"})
    work(version_1)
    letters = version_2.queue("default").dead_letters
    [dead] = list(letters)
    assert dead.failure is not None
    assert "no parameter 'language'" in str(dead.failure.reason)
    letters.redrive([dead.key])
    work(version_2)
    assert done == ["v2 mail 1 de"]
    assert version_2.queue("default").stats().dead == 0
