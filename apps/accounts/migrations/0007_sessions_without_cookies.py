from django.db import migrations


class Migration(migrations.Migration):
    """Cookies are kept by Django's own sessions, which name the sign-in; nothing was ever written here."""

    dependencies = [
        ("accounts", "0006_clients"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="session",
            name="browser_key",
        ),
    ]
