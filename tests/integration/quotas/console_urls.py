"""The console alone, as a process with LEAKY_SERVICES=console routes it."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
