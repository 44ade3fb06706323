"""The Django project of the tests: one for all of them, in this process (the fixture `django_site`) and in others.

What differs from run to run, the environment says: `CLOUDQ_URL`, `DJANGO_SITE_DATABASE` for the
database, and `DJANGO_SITE_APPS` for what else is installed.
"""

import os

SECRET_KEY = "of no use to anybody"  # noqa: S105
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.projects.django_site.urls"
MIDDLEWARE = [
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.common.CommonMiddleware",
]
INSTALLED_APPS = ["tests.projects.django_site.shop", *os.environ.get("DJANGO_SITE_APPS", "").split()]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DJANGO_SITE_DATABASE", ":memory:"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
