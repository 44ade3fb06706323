"""Where a backend pushes to; `DJANGO_SITE_URLS` names this module."""

from django.urls import re_path

import cloudq.push
from cloudq.default_app import default

urlpatterns = [re_path(r"^tasks/", cloudq.push.django(default, cloudq.push.PushSettings(insecure_no_auth=True)))]
