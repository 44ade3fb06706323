"""The app of the project that has tasks."""

from pathlib import Path

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """As in any project."""

    name = "tests.projects.django_site.shop"
    label = "shop"
    path = str(Path(__file__).parent)  # said, as another checkout may be on sys.path beside this one
