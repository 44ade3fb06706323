"""`"cloudq.integrations.django.inbox"` in `INSTALLED_APPS`: the table behind `context.transaction(using="default")`."""
