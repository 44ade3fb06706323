"""Workers of one queue, and for how long each of them needs to end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.cli import worker
from cloudq.cli.autoscale.plan import checked_image, checked_name, required_host
from cloudq.cli.direct import arguments_of
from cloudq.errors import ConfigurationError, OptionError
from tests.unit.cli.autoscale.plans import plan


def test_a_worker_ends_within_its_termination() -> None:
    """It lets tasks run to their limit and settles them within its grace; only then is it killed."""
    made = plan(time_limit=timedelta(seconds=90.5), grace=timedelta(seconds=10))
    assert (101, 104) == (made.worker_grace, made.termination)


def test_the_command_is_one_that_the_worker_takes() -> None:
    """In the plain form."""
    command = plan(app="shop.tasks").command("--concurrency", "5")
    given = arguments_of(worker.worker, command[2:])
    assert given is not None
    assert (["emails"], "130", 5, "shop.tasks") == (
        given["queue"],
        given["grace"],
        given["concurrency"],
        given["app"],
    )


def test_the_environment_says_where_the_queue_is() -> None:
    """SQS has its region besides."""
    assert {"CLOUDQ_URL": "sqs://eu-west-1", "AWS_REGION": "eu-west-1"} == dict(plan("sqs://eu-west-1").environment())
    assert ["CLOUDQ_URL"] == [name for name, _ in plan("servicebus://x.servicebus.windows.net").environment()]


@pytest.mark.parametrize(
    ("name", "queue", "made"),
    [(None, "Emails.fifo", "worker-emails-fifo"), (None, "a__b", "worker-a-b"), ("w", "q", "w")],
)
def test_workers_have_a_name_of_their_queue(name: str | None, queue: str, made: str) -> None:
    """In what all platforms take."""
    assert made == checked_name(name, queue)


@pytest.mark.parametrize("name", ["", "W", "-w", "w-", "1w", "w" * 49, "w w"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """With an example."""
    with pytest.raises(OptionError, match="can't be the name"):
        checked_name(name, "q")


@pytest.mark.parametrize("image", ["", "a b", "a\nb", '"', "-x", "é", "x" * 513])
def test_what_is_no_image_is_refused(image: str) -> None:
    """It would become part of a manifest."""
    with pytest.raises(OptionError, match="no container image"):
        checked_image(image)
    assert "r.example:5000/a/b@sha256:0" == checked_image("r.example:5000/a/b@sha256:0")


@pytest.mark.parametrize(("url", "what"), [("sqs://", "region"), ("servicebus://", "namespace")])
def test_a_url_that_names_no_place_is_refused(url: str, what: str) -> None:
    """A manifest can't leave that to the environment."""
    with pytest.raises(ConfigurationError, match=f"names no {what}"):
        required_host(plan(url))
