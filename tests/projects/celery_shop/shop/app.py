"""The Celery app of the shop."""

from celery import Celery

app = Celery("shop", include=["shop.tasks"])
app.config_from_object("shop.settings")
