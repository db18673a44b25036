"""The authorization server: OAuth 2.0 by RFC 9700, OpenID Connect, on django-oauth-toolkit."""
