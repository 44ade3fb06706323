"""`App`, the one object that knows both tasks and queues, in its sides: settings, sending, and all the rest."""

from cloudq.app.app import App, living_apps

__all__ = ["App", "living_apps"]
