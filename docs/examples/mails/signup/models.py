"""Who subscribed."""

import uuid

from django.db import models


class Subscriber(models.Model):
    """An address, and how far it is."""

    email = models.EmailField(unique=True)
    token = models.UUIDField(default=uuid.uuid4, unique=True)
    mailed_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        """The address."""
        return str(self.email)
