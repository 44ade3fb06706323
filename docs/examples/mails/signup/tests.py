"""Tests without a relay, without a worker, and without an SMTP server."""

from unittest import mock

from django.core import mail
from django.test import TestCase

from cloudq.default_app import default

from . import services, tasks
from .models import Subscriber


class Subscribing(TestCase):
    """Django keeps the mails of tests in `mail.outbox`."""

    def test_a_mail_asks_to_confirm(self) -> None:
        with default.eager(), self.captureOnCommitCallbacks(execute=True):
            answer = self.client.post("/subscribe", {"email": "ada@example.org"})
        assert answer.status_code == 202
        [letter] = mail.outbox
        assert letter.to == ["ada@example.org"]
        link = letter.body.split()[-1].removeprefix("http://127.0.0.1:8000")
        assert self.client.get(link).status_code == 200
        assert Subscriber.objects.get().confirmed_at is not None

    def test_nothing_is_mailed_twice(self) -> None:
        with default.eager(), self.captureOnCommitCallbacks(execute=True):
            assert services.subscribe("ada@example.org")
            assert not services.subscribe("ada@example.org")
        tasks.ask_to_confirm(subscriber_id=Subscriber.objects.get().pk)  # delivered once more
        assert len(mail.outbox) == 1

    def test_nothing_is_mailed_for_what_was_rolled_back(self) -> None:
        with (
            default.eager(),
            self.captureOnCommitCallbacks(execute=True),
            mock.patch.object(tasks.ask_to_confirm.__class__, "send", side_effect=OSError),
            self.assertRaises(OSError),
        ):
            services.subscribe("ada@example.org")
        assert not Subscriber.objects.exists()
        assert mail.outbox == []

    def test_what_is_no_address(self) -> None:
        assert self.client.post("/subscribe", {"email": "ada"}).status_code == 400
