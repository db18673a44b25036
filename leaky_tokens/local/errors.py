"""What ends a run."""

from apps.core.errors import LeakyError


class RunFailed(LeakyError):
    """The system cannot start or go on. The text is for the developer: what happened and the way out."""

    code = "run_failed"
