"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """One order, of which there is one by its number."""

    number = models.IntegerField(unique=True)
    state = models.CharField(max_length=20, default="new")
