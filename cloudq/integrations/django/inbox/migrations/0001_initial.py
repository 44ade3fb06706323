"""The inbox's table."""

from django.db import migrations, models

from cloudq.integrations.django.tables import CreateTables
from cloudq.user_database import inbox


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """Its table by SQL, and its model."""

    initial = True
    operations = [  # noqa: RUF012 - Django's own form
        migrations.SeparateDatabaseAndState(
            database_operations=[CreateTables(inbox.TABLE.statements.__getitem__, ("cloudq_inbox",))],
            state_operations=[
                migrations.CreateModel(
                    name="InboxEntry",
                    fields=[
                        ("digest", models.BinaryField(primary_key=True, serialize=False)),
                        ("namespace", models.TextField()),
                        ("task", models.TextField()),
                        ("key", models.TextField()),
                        ("message", models.TextField()),
                        ("completed_at", models.BigIntegerField()),
                        ("kept_until", models.BigIntegerField()),
                    ],
                    options={"db_table": "cloudq_inbox"},
                )
            ],
        )
    ]
