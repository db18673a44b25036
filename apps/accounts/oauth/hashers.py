"""How client secrets are kept."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class ClientSecretHasher(PBKDF2PasswordHasher):
    """PBKDF2 with few iterations: a secret of 256 random bits cannot be guessed at any speed."""

    algorithm = "client_secret"
    iterations = 1_000
