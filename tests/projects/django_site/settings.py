"""The Django project of the tests: one for all of them, in this process (the fixture `django_site`) and in others.

What differs from run to run, the environment says: `CLOUDQ_URL`, `DJANGO_SITE_DATABASE` for the
database, `DJANGO_SITE_APPS` for what else is installed, and `DJANGO_SITE_URLS` for its pages.
"""

import os
from importlib.util import find_spec

SECRET_KEY = "of no use to anybody"  # noqa: S105
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = os.environ.get("DJANGO_SITE_URLS", "tests.projects.django_site.urls")
MIDDLEWARE = [
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.common.CommonMiddleware",
]
INSTALLED_APPS = [
    "tests.projects.django_site.shop",
    "tests.projects.django_site.reports",
    *os.environ.get("DJANGO_SITE_APPS", "").split(),
]
DJANGOS = "django.tasks" if find_spec("django.tasks") else "django_tasks"  # the backport, for Django 5.2
if DJANGOS == "django_tasks":
    INSTALLED_APPS.append(DJANGOS)
TASKS = {"default": {"BACKEND": "cloudq.integrations.django.CloudqBackend"}}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DJANGO_SITE_DATABASE", ":memory:"),
        "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE"},  # for several programs that write at once
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
