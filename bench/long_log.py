"""A log of many calls, for what must not become slow with it.

Thirteen months: 1,000 customers, the largest with a sixth of all calls, 3,000 keys, some hardly
used, three releases, one of them old and rare, and 2 % errors.
"""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2

from predictions import partitions

LARGEST = "customer1@example.com"

MONTHS = 13
PEOPLE = """
INSERT INTO accounts_user (id, password, is_superuser, first_name, last_name, email, is_staff,
                           is_active, date_joined)
SELECT n, '', false, '', '', 'customer' || n || '@example.com', false, true, now()
FROM generate_series(1, 1000) AS n;
INSERT INTO accounts_customer (id, user_id, created_at)
SELECT n, n, now() FROM generate_series(1, 1000) AS n;
INSERT INTO accounts_apikey (id, customer_id, name, kind, prefix, last_four, digest,
                             pepper_version, created_at)
SELECT n, (n + 2) / 3, 'key ' || n, 'test', 'mnist_test_' || lpad(n::text, 8, '0'), 'abcd',
       sha256(n::text::bytea), 1, now()
FROM generate_series(1, 3000) AS n;
SELECT setval(pg_get_serial_sequence('accounts_user', 'id'), 1000),
       setval(pg_get_serial_sequence('accounts_customer', 'id'), 1000),
       setval(pg_get_serial_sequence('accounts_apikey', 'id'), 3000);
"""
CALLS = """
INSERT INTO predictions_call
SELECT id, uuid_extract_timestamp(id), customer, (customer - 1) * 3 + 1 + key,
       CASE WHEN status <> 200 THEN ''
            WHEN age BETWEEN 0.80 AND 0.88 AND chance < 0.001 THEN 'rare-1'
            WHEN age > 0.3 THEN 'softmax-1' ELSE 'cnn-1' END,
       CASE status WHEN 200 THEN 1 ELSE 0 END, status,
       CASE status WHEN 200 THEN '' ELSE 'a_problem' END, 5 + 20 * chance
FROM (
    SELECT uuidv7(-(%(span)s * age)) AS id, age, random() AS chance,
           1 + floor(1000 * random() ^ 4)::int AS customer,
           (CASE WHEN key < 0.9 THEN 0 WHEN key < 0.9999 THEN 1 ELSE 2 END) AS key,
           (CASE WHEN status < 0.98 THEN 200 WHEN status < 0.99 THEN 422
                 WHEN status < 0.995 THEN 401 WHEN status < 0.99999 THEN 413 ELSE 500 END) AS status
    FROM (
        SELECT 1 - n / %(rows)s::float AS age, random() AS key, random() AS status
        FROM generate_series(1, %(rows)s) AS n OFFSET 0
    ) AS draws OFFSET 0
) AS calls
"""
HOURS = """
INSERT INTO billing_usagehour (customer_id, key_id, release, hour, calls, units, errors)
SELECT customer_id, key_id, release, date_trunc('hour', at, 'UTC') AS hour,
       count(*), sum(units), count(*) FILTER (WHERE status <> 200)
FROM predictions_call GROUP BY 1, 2, 3, 4 ORDER BY hour
"""


def fill(url: str, rows: int, sql: str = "") -> None:
    """Put the customers and their calls into an empty, migrated database, then run `sql`."""
    first = partitions.month(datetime.now(UTC).date(), 1 - MONTHS)
    span = datetime.now(UTC) - datetime(first.year, first.month, first.day, tzinfo=UTC)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # as VACUUM asks for
        partitions.create(first, MONTHS, cursor.execute)
        cursor.execute(PEOPLE)
        cursor.execute(CALLS, {"rows": rows, "span": span - timedelta(hours=1)})
        cursor.execute(HOURS)
        if sql:
            cursor.execute(sql)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")  # or what is measured next would pay for it
        for table in ("predictions_call", "billing_usagehour"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            print(f"{table}: {cursor.fetchall()[0][0]:,} rows", flush=True)
