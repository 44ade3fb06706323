"""The outbox's tables, of version 1."""

from django.db import migrations, models

from cloudq.integrations.django.tables import CreateTables
from cloudq.outbox import schema


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """Its tables by SQL, and the model of the one that is looked at."""

    initial = True
    operations = [  # noqa: RUF012 - Django's own form
        migrations.SeparateDatabaseAndState(
            database_operations=[
                CreateTables(
                    schema.statements,
                    (
                        "cloudq_outbox",
                        "cloudq_outbox_locks",
                        "cloudq_outbox_numbers",
                        "cloudq_outbox_relays",
                        "cloudq_outbox_schema",
                    ),
                )
            ],
            state_operations=[
                migrations.CreateModel(
                    name="OutboxMessage",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("namespace", models.CharField(max_length=128)),
                        ("queue", models.TextField()),
                        ("task", models.TextField()),
                        ("body", models.BinaryField()),
                        ("ordering_key", models.TextField(null=True)),
                        ("key_digest", models.BinaryField()),
                        ("number", models.BigIntegerField()),
                        ("due", models.BigIntegerField(default=0)),
                        ("created_at", models.BigIntegerField()),
                        ("attempts", models.IntegerField(default=0)),
                        ("last_error", models.TextField(null=True)),
                        ("parked_at", models.BigIntegerField(null=True)),
                    ],
                    options={"db_table": "cloudq_outbox"},
                )
            ],
        )
    ]
