"""Missing permissions become findings, with what allows them."""

from __future__ import annotations

import pytest

from cloudq.cli.doctor.fault import Unchecked
from cloudq.cli.doctor.permissions import missing_permissions
from cloudq.cli.queue_needs import Cloud
from cloudq.errors import BackendUnavailable
from tests.unit.cli.doctor.test_queue_law import looked


class Driver:
    """Lacks these, or can't say."""

    def __init__(self, *missing, error=None):
        self.missing, self.error = missing, error

    def missing_permissions(self, queue, *, works):
        assert ("mail", True) == (queue, works)
        if self.error is not None:
            raise self.error
        return self.missing


@pytest.mark.parametrize(
    ("cloud", "missing", "command"),
    [
        (Cloud.AWS, "sqs:SendMessage on p-mail-dlq", "allow sqs:SendMessage in its policy"),
        (Cloud.GOOGLE, "cloudtasks.tasks.create on p-mail-dlq", "add-iam-policy-binding p-mail-dlq"),
        (
            Cloud.AZURE,
            "Azure Service Bus Data Sender (Send) on p-mail",
            "--role 'Azure Service Bus Data Sender (Send)'",
        ),
    ],
)
def test_what_is_missing_is_a_finding(cloud, missing, command):
    """It names the permission and the queue."""
    (finding,) = missing_permissions(Driver(missing), looked(cloud), works=True)
    assert "permission-missing" == finding.fault.id
    permission, _, queue = missing.rpartition(" on ")
    assert f"{permission} is denied on {queue}" == finding.what
    assert command in finding.command


def test_nothing_is_asked_where_there_is_nothing_to_ask():
    """A queue that isn't there; a driver that can't find out."""
    assert [] == list(missing_permissions(Driver("x on y"), looked(Cloud.AWS, settings=None), works=True))
    assert [] == list(missing_permissions(object(), looked(Cloud.AWS), works=True))


def test_a_service_that_says_nothing_is_not_checked():
    """It is said so."""
    (one,) = missing_permissions(Driver(error=BackendUnavailable("gone")), looked(Cloud.AWS), works=True)
    assert Unchecked(what="the permissions for queue 'mail'", why="gone") == one
