"""Routes of the account's pages. All belong to the service ``auth``; the last one says that there is nothing."""

from django.urls import path, re_path

from apps.accounts.pages import entry, home, mailed
from apps.core.http.pages import nothing_here

app_name = "account"
urlpatterns = [
    path("", home.home, name="home"),
    path("/sign-in", entry.sign_in, name="sign-in"),
    path("/sign-out", entry.sign_out, name="sign-out"),
    path("/sign-up", entry.sign_up, name="sign-up"),
    path("/forgot", mailed.forgot, name="forgot"),
    path("/reset", mailed.reset, name="reset"),
    path("/verify", mailed.verify, name="verify"),
    path("/resend", mailed.resend, name="resend"),
    path("/password", home.password, name="password"),
    path("/sessions/<uuid:session_id>/end", home.end_session, name="end-session"),
    path("/sessions/end", home.end_all, name="end-all"),
    path("/applications/<str:client_id>/disconnect", home.disconnect, name="disconnect"),
    re_path(r"^(/.*)?$", nothing_here, name="nothing"),
]
