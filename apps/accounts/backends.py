"""Who may sign in with a password."""

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser

from apps.accounts.models import User


class PeopleBackend(ModelBackend):
    """Active people. Nobody signs in as a service account, whatever password it may have."""

    def user_can_authenticate(self, user: User | AnonymousUser | None) -> bool:
        """Asked after the password was checked, so that the refusal takes as long as that of a wrong one."""
        return super().user_can_authenticate(user) and isinstance(user, User) and user.kind == User.Kind.PERSON
