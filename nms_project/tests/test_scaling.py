"""docs/scaling.md: its statements run, on functions that hold the rules of Citus and TimescaleDB for keys."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from devices.models import Deletion, Device
from metrics.levels import plan_series
from metrics.models import Sample
from metrics.partitions import partitioned, partitions_ensure, partitions_list, partitions_prepare
from metrics.retention import deletions_advance, history_trim
from metrics.sample_rollups import SAMPLES
from metrics.series import Aggregation, device_series
from metrics.tests.helpers import advance, store

pytestmark = pytest.mark.django_db
PAGE = Path(settings.BASE_DIR) / "docs" / "scaling.md"
START = datetime(2030, 7, 1, 12, tzinfo=UTC)
STATEMENTS = dict(
    zip(("citus", "timescale"), re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL), strict=True)
)

# https://docs.citusdata.com: unique constraints must have the distribution column.
# https://docs.tigerdata.com: and unique indexes of a hypertable the column it is cut by.
RULES = """
CREATE FUNCTION keys_must_have(relation regclass, wanted text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_index WHERE indrelid = relation AND indisunique AND NOT EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = relation AND attname = wanted AND attnum = ANY(indkey)
        )
    ) THEN
        RAISE EXCEPTION 'a unique index of % lacks %', relation, wanted;
    END IF;
    IF EXISTS (
        SELECT FROM pg_constraint WHERE contype = 'f' AND relation IN (conrelid, confrelid)
    ) THEN
        RAISE EXCEPTION '% has a foreign key', relation;
    END IF;
END $$;
CREATE FUNCTION create_distributed_table(relation regclass, wanted text, colocate_with text DEFAULT '')
RETURNS void LANGUAGE sql AS 'SELECT keys_must_have(relation, wanted)';
CREATE FUNCTION create_reference_table(relation regclass) RETURNS void LANGUAGE sql AS 'SELECT NULL::void';
CREATE FUNCTION by_range(wanted text, width interval) RETURNS text LANGUAGE sql AS 'SELECT wanted';
CREATE FUNCTION create_hypertable(relation regclass, wanted text) RETURNS void
LANGUAGE sql AS 'SELECT keys_must_have(relation, wanted)';
CREATE FUNCTION add_retention_policy(relation regclass, age interval) RETURNS void
LANGUAGE sql AS 'SELECT NULL::void';
"""


@pytest.fixture(autouse=True)
def rules() -> None:
    with connection.cursor() as cursor:
        cursor.execute(RULES)


def run(statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statements)


def test_every_table_that_grows_is_distributed_and_may_be() -> None:
    run(STATEMENTS["citus"])
    named = set(re.findall(r"create_distributed_table\('(\w+)'", STATEMENTS["citus"]))
    assert named == set(partitioned())


def test_the_rule_is_one() -> None:
    with pytest.raises(ProgrammingError), transaction.atomic():
        run("SELECT create_distributed_table('metrics_latemark', 'device_id')")


def test_the_pipeline_works_on_a_table_that_others_cut(device: Device) -> None:
    run(STATEMENTS["timescale"])
    assert partitions_ensure("metrics_sample", START, START) == []
    assert not any(name.startswith("metrics_sample") for name in partitions_prepare(START))
    assert partitions_list("metrics_sample") == []
    store({(device.pk, START + timedelta(minutes=n)): {"cpu": n} for n in range(10)})
    advance(SAMPLES, START + timedelta(days=2))
    plan = plan_series(
        start=START, end=START + timedelta(hours=1), step=timedelta(minutes=5), now=START + timedelta(days=2)
    )
    got, (series,) = device_series(
        device_id=device.pk, paths=[["cpu"]], plan=plan, aggregation=Aggregation.MAX
    )
    assert (got, [point.value for point in series.points]) == (10, [4, 9])
    history_trim(START + timedelta(days=100))
    assert Sample.objects.count() == 10
    device.delete()
    now = Deletion.objects.get().deleted_at + timedelta(minutes=5)
    while deletions_advance(now):
        pass
    assert Sample.objects.count() == 0
