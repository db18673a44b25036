"""Routes of sign-in, sessions and API keys. All belong to the service ``auth``."""

from django.urls import URLPattern, URLResolver, path

from apps.accounts.rest import api_keys, auth, passwords, sessions

app_name = "auth-accounts"
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/auth/register", auth.Register.as_view(), name="register"),
    path("api/v1/auth/login", auth.Login.as_view(), name="login"),
    path("api/v1/auth/refresh", auth.Refresh.as_view(), name="refresh"),
    path("api/v1/auth/logout", auth.Logout.as_view(), name="logout"),
    path("api/v1/auth/me", auth.Me.as_view(), name="me"),
    path("api/v1/auth/sessions", sessions.Sessions.as_view(), name="sessions"),
    path("api/v1/auth/sessions/<str:session_id>", sessions.OneSession.as_view(), name="session"),
    path("api/v1/auth/password", passwords.Password.as_view(), name="password"),
    path("api/v1/auth/password-reset", passwords.PasswordReset.as_view(), name="password-reset"),
    path("api/v1/auth/password-reset/confirm", passwords.PasswordResetConfirmation.as_view(), name="password-set"),
    path("api/v1/auth/verify-email", passwords.EmailVerification.as_view(), name="verify-email"),
    path("api/v1/auth/verify-email/resend", passwords.EmailVerificationRequest.as_view(), name="verify-again"),
    path("api/v1/auth/api-keys/validate", api_keys.ValidateApiKeyView.as_view()),
]
