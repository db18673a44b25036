"""Logs: one JSON object a line on standard output, with the request id of the context; never a prompt or a secret.

What may be logged is decided where it is logged, by passing named fields; bodies and credentials are never passed.
Control characters cannot forge a line, because values are JSON strings.
"""

import logging.config
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

SECRET_FIELDS = frozenset(
    {"authorization", "api_key", "password", "secret", "token", "credential", "cookie", "prompt", "messages", "body"}
)


def config(level: str) -> dict[str, Any]:
    """Django's ``LOGGING`` value: everything to standard output through one formatter."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared_processors(),
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"handlers": ["stdout"], "level": level.upper()},
        "loggers": {
            "django.server": {"handlers": [], "propagate": True},
            "celery.app.trace": {"level": "WARNING", "propagate": True, "handlers": []},
            "celery.worker.strategy": {"level": "WARNING", "propagate": True, "handlers": []},
            # At DEBUG these two write codes and tokens.
            "oauthlib": {"level": "INFO", "propagate": True, "handlers": []},
            "oauth2_provider": {"level": "INFO", "propagate": True, "handlers": []},
            "uvicorn.access": {"level": "WARNING", "propagate": True, "handlers": []},
        },
    }


def configure(settings: dict[str, Any]) -> None:
    """Install ``settings`` and make structlog write through them (Django calls this once, at ``setup``)."""
    logging.config.dictConfig(settings)
    structlog.configure(
        processors=[*_shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _scrub,
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    ]


def _scrub(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A second line of defence: a field with a secret's name is never written, whoever passed it."""
    for name in SECRET_FIELDS & event.keys():
        event[name] = "***"
    return event
