"""Mails. A task may run twice: it looks whether its mail is out already."""

from datetime import timedelta
from smtplib import SMTPRecipientsRefused

from django.core.mail import send_mail
from django.urls import reverse
from django.utils import timezone

import cloudq

from .models import Subscriber


@cloudq.task("signup.ask_to_confirm", time_limit=timedelta(minutes=1))
def ask_to_confirm(subscriber_id: int) -> None:
    """Asks whoever reads this address whether they want the newspaper.

    Its row is there: the message was committed with it. Between the mail and the note of it a crash repeats the mail,
    which does no harm; a server that is away is tried again later, by the app's retry policy.
    """
    subscriber = Subscriber.objects.get(pk=subscriber_id)
    if subscriber.mailed_at is not None:
        return
    link = f"http://127.0.0.1:8000{reverse('confirm', args=[subscriber.token])}"
    try:
        send_mail("Is it you?", f"You subscribed to the Harbour Times. If so: {link}\n", None, [subscriber.email])
    except SMTPRecipientsRefused as error:
        raise cloudq.DeadLetter(f"the server doesn't take this address: {error}") from error
    Subscriber.objects.filter(pk=subscriber_id).update(mailed_at=timezone.now())
