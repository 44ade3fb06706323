"""The app."""

from django.apps import AppConfig


class SignupConfig(AppConfig):
    """As in any project."""

    name = "signup"
