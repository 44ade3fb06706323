"""The admin's page of dead letters, by Django's own client."""

from __future__ import annotations

PROGRAM = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x", ALLOWED_HOSTS=["*"], USE_TZ=True, ROOT_URLCONF=__name__,
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "sessions", "messages")),
                    "cloudq.integrations.django"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
                "OPTIONS": {"context_processors": [
                    "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages"]}}],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import path

import cloudq
from cloudq.default_app import default
from cloudq.testing import in_memory, run_all

urlpatterns = [path("admin/", admin.site.urls)]
PAGE = "/admin/cloudq/deadletter/"
EVIL = "<script>alert(1)</script>\\u202e"
mended = []

@cloudq.task("fails")
def fails(secret):
    if not mended:
        raise cloudq.DeadLetter(EVIL)
    mended.append(secret)

call_command("migrate", verbosity=0)

def client(*permissions):
    user = User.objects.create_user("-".join(permissions) or "none", password="p", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{name}_deadletter" for name in permissions]))
    made = Client()
    made.force_login(user)
    return made

with in_memory(default):
    for number in range(3):
        default.send("fails", {"secret": f"hidden-{number}"})
    run_all(default)
    letters = default.queue("default").dead_letters
    keys = [dead.key for dead in letters]
    assert len(keys) == 3

    none, viewer, editor = client(), client("view"), client("view", "change", "delete")
    assert none.get(PAGE).status_code == 403
    shown = viewer.get(PAGE)
    assert shown.status_code == 200 and b"alert" not in shown.content, "a GET looked"
    assert b"Dead letters" in viewer.get("/admin/").content

    listed = viewer.post(PAGE, {"queue": "default", "do": "list"}).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in listed and "<script>alert" not in listed
    assert "\\u202e" not in listed and "hidden-" not in listed
    assert all(f'value="{key}"' in listed for key in keys)
    assert "Send the chosen" not in listed and "Delete the chosen" not in listed

    for asked in ("redrive", "purge"):
        assert viewer.post(PAGE, {"queue": "default", "do": asked, "key": keys}).status_code == 403
    assert len(list(letters)) == 3

    assert "None was chosen" in editor.post(PAGE, {"queue": "default", "do": "purge"}).content.decode()
    assert "1 of 1 deleted" in editor.post(PAGE, {"queue": "default", "do": "purge", "key": keys[:1]}).content.decode()
    redriven = editor.post(PAGE, {"queue": "default", "do": "redrive", "key": keys[1:2]})
    assert "1 of 1 sent again" in redriven.content.decode()
    assert [dead.key for dead in letters] == keys[2:]
    mended.append("from now on")
    run_all(default)
    assert mended[1:] == ["hidden-1"], mended

    other = editor.post(PAGE, {"queue": "another", "do": "list"})
    assert other.status_code == 200 and b'name="key"' not in other.content
    assert Client(enforce_csrf_checks=True).post(PAGE, {"queue": "default"}).status_code in (302, 403)
    assert editor.get(PAGE + "add/").status_code == 404
print("all of it")
"""


def test_the_page(program):
    """A GET reaches nothing; a list is a stranger's text, without payloads; each action needs its permission."""
    done = program("-c", PROGRAM, DJANGO_SETTINGS_MODULE="")
    assert "all of it" in done.stdout, done.stderr
