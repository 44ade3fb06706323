"""What programs import of `celery.utils`, as far as there is anything in its place."""
