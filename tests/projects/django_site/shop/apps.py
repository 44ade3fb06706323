"""The app of the project that has tasks."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """As in any project."""

    name = "tests.projects.django_site.shop"
    label = "shop"
