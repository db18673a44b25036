"""Development on one machine: plain HTTP on loopback, static files straight from the packages."""

from leaky_tokens.settings.base import *

DEBUG = False
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False
