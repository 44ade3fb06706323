"""What differs from place to place, the environment says."""

import os
from pathlib import Path

FOLDER = Path(__file__).parents[1]

SECRET_KEY = os.environ.get("SECRET_KEY", "for this machine alone")
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "mails.urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
INSTALLED_APPS = [
    "signup",
    "cloudq.integrations.django",
    "cloudq.integrations.django.outbox",  # what a view sends is stored in its transaction
]
CLOUDQ = {"URL": os.environ.get("CLOUDQ_URL", f"sqlite:///{FOLDER}/queue.db")}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "mails.db",
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("SMTP_PORT", "25"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = "The Harbour Times <news@harbour.example>"
