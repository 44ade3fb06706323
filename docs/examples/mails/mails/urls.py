"""The pages."""

from django.urls import path
from signup import views

urlpatterns = [
    path("subscribe", views.subscribe),
    path("confirm/<uuid:token>", views.confirm, name="confirm"),
]
