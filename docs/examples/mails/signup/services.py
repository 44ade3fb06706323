"""What the pages and the command do."""

from uuid import UUID

from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from .models import Subscriber
from .tasks import ask_to_confirm


def subscribe(email: str) -> bool:
    """Stores an address and the message about it, both or neither. False: it is there already.

    Raises:
        django.core.exceptions.ValidationError: It is no address.
    """
    validate_email(email)
    with transaction.atomic():
        subscriber, is_new = Subscriber.objects.get_or_create(email=email)
        if is_new:
            ask_to_confirm.send(subscriber_id=subscriber.pk)
    return bool(is_new)


def confirm(token: UUID) -> bool:
    """Notes that somebody followed the link. False: there is no such one."""
    found = Subscriber.objects.filter(token=token)
    found.filter(confirmed_at=None).update(confirmed_at=timezone.now())
    return bool(found.exists())
