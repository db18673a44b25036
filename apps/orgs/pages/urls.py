"""Routes of organisations' pages. All belong to the service ``auth``."""

from django.urls import path

from apps.orgs.pages import invitation

app_name = "account-orgs"
urlpatterns = [path("/invitation", invitation.accept, name="invitation")]
