"""`"cloudq.integrations.django.outbox"` in `INSTALLED_APPS`: sends within `atomic()` are stored in its transaction."""
