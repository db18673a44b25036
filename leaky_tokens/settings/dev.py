"""Development on one machine: plain HTTP on loopback, static files straight from the packages."""

from leaky_tokens.settings.base import *

DEBUG = False
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False
# Clients under development are answered on this machine, where no other can listen.
OAUTH2_PROVIDER["ALLOWED_REDIRECT_URI_SCHEMES"] = ["https", "http"]
