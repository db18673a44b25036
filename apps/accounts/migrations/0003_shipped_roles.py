"""The roles that every installation starts with, with the ids of the original system (CONTRACT, section 2.2)."""

from uuid import UUID

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SHIPPED = (
    (UUID("11111111-1111-1111-1111-111111111111"), "USER", "Default user role"),
    (UUID("22222222-2222-2222-2222-222222222222"), "ADMIN", "Administrative role"),
)


def ship_roles(apps: Apps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    role, user = apps.get_model("accounts", "Role"), apps.get_model("accounts", "User")
    for identity, name, description in SHIPPED:
        role.objects.create(id=identity, name=name, description=description)
    everybody = user.objects.values_list("pk", flat=True)
    granted = user.roles.through
    granted.objects.bulk_create([granted(user_id=pk, role_id=SHIPPED[0][0]) for pk in everybody])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_identity")]
    operations = [migrations.RunPython(ship_roles, migrations.RunPython.noop)]
