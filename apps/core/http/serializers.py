"""What the fields of a request may be called: a name that nobody reads is refused, or what it asks for is lost unseen.

New routes refuse every unknown name (:class:`Strict`). The routes of the original's contract ignore unknown names, as
its clients expect, but refuse those that try for more than the caller may set (:class:`Lenient`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.db.models import Model
from rest_framework import serializers

PRIVILEGES = frozenset({"admin", "is_admin", "is_staff", "is_superuser", "role", "roles", "scope", "tier"})
"""Names with which a request would ask for rights, in the models' spelling."""


class Strict(serializers.Serializer[Any]):
    """Refuses every field that it does not declare, by name, and numbers for texts or flags. For all new routes."""

    def to_internal_value(self, data: Any) -> Any:
        """The checked values.

        Raises:
            ValidationError: naming the unknown fields, or what is wrong with the known ones.
        """
        if isinstance(data, Mapping):
            _refuse(set(data) - writable(self))
            _insist_on_types(self, data)
        return super().to_internal_value(data)


class Lenient(serializers.Serializer[Any]):
    """Ignores unknown fields, but refuses privileges and the fields of ``model`` that it does not declare.

    Either spelling counts: ``is_staff`` and ``isStaff``.
    """

    model: ClassVar[type[Model] | None] = None

    def to_internal_value(self, data: Any) -> Any:
        """The checked values.

        Raises:
            ValidationError: naming the fields that are not the caller's to set, or what is wrong with the others.
        """
        if isinstance(data, Mapping):
            forbidden = PRIVILEGES | fields_of(self.model)
            _refuse(name for name in set(data) - writable(self) if snake_case(str(name)) in forbidden)
        return super().to_internal_value(data)


def writable(serializer: serializers.Serializer[Any]) -> set[str]:
    """Names of the fields that a request may carry."""
    return {name for name, field in serializer.fields.items() if not field.read_only}


def fields_of(model: type[Model] | None) -> frozenset[str]:
    """Names of a model's fields and columns: ``owner`` and ``owner_id``."""
    if model is None:
        return frozenset()
    fields = model._meta.get_fields()  # noqa: SLF001 (Django documents it as public)
    return frozenset(name for field in fields for name in (field.name, getattr(field, "attname", field.name)))


def snake_case(name: str) -> str:
    """``isStaff`` as ``is_staff``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _insist_on_types(serializer: serializers.Serializer[Any], data: Mapping[Any, Any]) -> None:
    """Django REST framework would take 0 for the text "0", or for false: what the API's description does not allow."""
    errors = {}
    for name, field in serializer.fields.items():
        value = data.get(name)
        if isinstance(field, serializers.CharField) and isinstance(value, int | float):
            errors[name] = ["Not a valid string."]
        if isinstance(field, serializers.BooleanField) and not isinstance(value, bool | None):
            errors[name] = ["Must be a valid boolean."]
    if errors:
        raise serializers.ValidationError(errors)


def _refuse(names: Iterable[Any]) -> None:
    if errors := {str(name)[:100]: ["This is not a field of this request."] for name in sorted(map(str, names))}:
        raise serializers.ValidationError(errors)
