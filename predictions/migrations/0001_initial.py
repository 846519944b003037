import datetime

import django.db.models.deletion
from django.db import migrations, models

from predictions import partitions

# Django cannot write a partitioned table, so the tables are made in SQL and the models declared.
# The id is a UUIDv7, so a range of ids is a range of time.
TABLE = """
CREATE TABLE predictions_call (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    customer_id bigint NOT NULL,
    key_id bigint NOT NULL,
    release varchar(100) NOT NULL,
    units integer NOT NULL,
    status smallint NOT NULL,
    problem varchar(40) NOT NULL,
    latency_ms double precision NOT NULL,
    CONSTRAINT call_has_units_if_and_only_if_answered CHECK (
        (status = 200 AND problem = '' AND units > 0)
        OR (status <> 200 AND problem <> '' AND units = 0)
    )
) PARTITION BY RANGE (id);
CREATE INDEX call_by_customer ON predictions_call (customer_id, id);
CREATE INDEX call_errors ON predictions_call (status, id) WHERE NOT (status = 200);
"""

APPEND_ONLY = """
CREATE FUNCTION predictions_call_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log of calls is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER call_is_append_only BEFORE UPDATE OR DELETE ON predictions_call
    FOR EACH ROW EXECUTE FUNCTION predictions_call_refuse_change();
"""


def create_partitions(apps, schema_editor):
    today = datetime.datetime.now(datetime.UTC).date()
    partitions.create(partitions.month(today), 13, schema_editor.execute)


class Migration(migrations.Migration):
    initial = True

    dependencies = [("accounts", "0001_initial"), ("billing", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(TABLE),
                migrations.RunSQL(APPEND_ONLY),
                migrations.RunPython(create_partitions),
            ],
            state_operations=[
                migrations.CreateModel(
                    name="Call",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                primary_key=True, serialize=False, verbose_name="request id"
                            ),
                        ),
                        ("at", models.DateTimeField(help_text="when it is counted, in UTC")),
                        (
                            "release",
                            models.CharField(
                                blank=True,
                                help_text="of the model that answered",
                                max_length=100,
                            ),
                        ),
                        (
                            "units",
                            models.IntegerField(
                                help_text="images that were answered, and are paid for"
                            ),
                        ),
                        ("status", models.SmallIntegerField()),
                        ("problem", models.CharField(blank=True, max_length=40)),
                        ("latency_ms", models.FloatField(help_text="from arrival to here")),
                        (
                            "customer",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="calls",
                                to="accounts.customer",
                            ),
                        ),
                        (
                            "key",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="accounts.apikey",
                                verbose_name="API key",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["customer", "id"], name="call_by_customer"),
                            models.Index(
                                condition=models.Q(("status", 200), _negated=True),
                                fields=["status", "id"],
                                name="call_errors",
                            ),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("problem", ""), ("status", 200), ("units__gt", 0)),
                                    models.Q(
                                        models.Q(("status", 200), _negated=True),
                                        models.Q(("problem", ""), _negated=True),
                                        ("units", 0),
                                    ),
                                    _connector="OR",
                                ),
                                name="call_has_units_if_and_only_if_answered",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]
