"""The routes of a process that serves ``auth``."""

from django.urls import include, path

from leaky_tokens.urls import handler404, handler500

__all__ = ["handler404", "handler500", "urlpatterns"]

urlpatterns = [path("", include("apps.accounts.oauth.urls"))]
