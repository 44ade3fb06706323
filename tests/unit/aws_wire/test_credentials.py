"""Credentials that end soon. How calls are signed meanwhile is in drivers/sqs/test_client.py."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from cloudq.aws_wire.credentials import Renewal
from cloudq.errors import BackendUnavailable


class Ending:
    """Credentials of which `seconds` are left, and which are renewed by `renew`."""

    def __init__(self, seconds: float, renew: Callable[[], object] = lambda: None) -> None:
        self._seconds = seconds
        self._renew = renew
        self.renewals = 0

    def refresh_needed(self, within: float = 900) -> bool:
        return self._seconds < within

    def get_frozen_credentials(self) -> str:
        if self._seconds < 900:
            self.renewals += 1
            self._renew()
        return "those that there are"


@pytest.mark.parametrize(("seconds", "renewals"), [(3600, 0), (800, 1), (60, 1)])
def test_they_are_renewed_when_it_is_time(seconds: float, renewals: int) -> None:
    """Not before, as each renewal is a call to another service."""
    credentials = Ending(seconds)
    Renewal(credentials, 5).renew()
    assert renewals == credentials.renewals


def test_a_renewal_that_takes_long() -> None:
    """While they hold the call goes on by the old ones; once they hardly do, it fails."""
    over = threading.Event()
    try:
        Renewal(Ending(800, over.wait), 0.1).renew()
        with pytest.raises(BackendUnavailable, match="about to expire"):
            Renewal(Ending(60, over.wait), 0.1).renew()
    finally:
        over.set()


@pytest.mark.parametrize(("seconds", "renewals"), [(3600, 0), (800, 1), (60, 1)])
def test_a_call_is_signed_by_what_its_renewal_gave(seconds: float, renewals: int) -> None:
    """Also where it failed, and the old ones hold: to ask for them again would renew again, for as long as it takes."""
    credentials = Ending(seconds)
    assert "those that there are" == Renewal(credentials, 5).frozen()
    assert renewals == credentials.renewals


def test_botocore_is_given_no_answer() -> None:
    """What a handler before a call returns would be taken for the call's."""
    for seconds in (3600, 800, 60):
        assert getattr(Renewal(Ending(seconds), 5), "renew")() is None  # noqa: B009 - mypy knows that it is
