"""The tables of a store of decisions, and the triggers that let rows be added and nothing else."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    inspect,
    select,
    text,
)

from calcscore_ml.errors import StoreError

SCHEMA_VERSION = 1
"""Version of the tables; raised when an older program would read or write them wrongly."""

LOCK = 0x63616C63
"""PostgreSQL's advisory lock while tables are made; the letters "calc"."""

METADATA = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")

EVENTS = Table(
    "calcscore_events",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("scan_id", Text, nullable=False),
    Column("reading", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("observer", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("lesion", Text),
    Column("old_label", Integer),
    Column("new_label", Integer),
    Column("model_sha256", Text, nullable=False),
    *(
        Column(f"{name}_{when}", kind, nullable=False)
        for when in ("before", "after")
        for name, kind in (("agatston", Double()), ("lowest", Double()), ("highest", Double()), ("category", Text()))
    ),
    UniqueConstraint("scan_id", "reading", "version"),
    sqlite_autoincrement=True,
)
"""One row per decision. Times are UTC in ISO 8601, which both engines keep to the microsecond."""

AUDIT = Table(
    "calcscore_audit",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("at", Text, nullable=False),
    Column("observer", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("scan_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""Refused writes, exports and whatever else should be known later."""

SCHEMA = Table("calcscore_schema", METADATA, Column("version", Integer, primary_key=True))
"""One row: `SCHEMA_VERSION` of whoever made the tables."""


def prepare(connection: Connection, where: str) -> None:
    """Make the tables where there are none, or check that they are ours.

    Parameters
    ----------
    connection : Connection
        In a transaction that keeps other writers out.
    where : str
        File or host, for errors.

    Raises
    ------
    StoreError
        When something else is there, or a newer program made the tables.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    there = set(inspect(connection).get_table_names())
    ours = {table.name for table in METADATA.tables.values()}
    if SCHEMA.name in there:
        _check_version(connection, where)
        if missing := sorted(ours - there):
            raise StoreError(
                f"a store of decisions must have all its tables, {', '.join(missing)} missing in {where}; restore a "
                "backup or choose another place"
            )
        return
    if there & ours or (dialect == "sqlite" and there):
        raise StoreError(
            f"a store of decisions must be empty or made by calcscore review, got tables "
            f"{', '.join(sorted(there)[:5])} in {where}; choose another place"
        )
    METADATA.create_all(connection)
    for table in METADATA.sorted_tables:
        for statement in _SQLITE if dialect == "sqlite" else _POSTGRESQL:
            connection.execute(text(statement.format(table=table.name)))
    if dialect == "sqlite":
        connection.execute(text(_SQLITE_NO_REPLACE))
    connection.execute(insert(SCHEMA).values(version=SCHEMA_VERSION))


def _check_version(connection: Connection, where: str) -> None:
    found = connection.execute(select(SCHEMA.c.version)).scalars().all()
    if found != [SCHEMA_VERSION]:
        came = ", ".join(map(str, found)) or "none"
        raise StoreError(
            f"a store of decisions must be of schema version {SCHEMA_VERSION}, got {came} in {where}; "
            "update calcscore-ml or choose another place"
        )


_SQLITE = tuple(
    f"CREATE TRIGGER {{table}}_no_{verb.lower()} BEFORE {verb} ON {{table}} "
    f"BEGIN SELECT RAISE(ABORT, 'rows of {{table}} are added, never changed or removed'); END"
    for verb in ("UPDATE", "DELETE")
)

_SQLITE_NO_REPLACE = (
    # INSERT OR REPLACE removes rows without asking triggers on DELETE.
    f"CREATE TRIGGER {EVENTS.name}_no_replace BEFORE INSERT ON {EVENTS.name} "
    f"WHEN EXISTS (SELECT 1 FROM {EVENTS.name} WHERE id = NEW.id "
    "OR (scan_id = NEW.scan_id AND reading = NEW.reading AND version = NEW.version)) "
    f"BEGIN SELECT RAISE(ABORT, 'rows of {EVENTS.name} are added, never replaced'); END"
)

_POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION calcscore_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'rows of % are added, never changed or removed', TG_TABLE_NAME; END $$",
    "CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
    "FOR EACH ROW EXECUTE FUNCTION calcscore_refuse()",
    "CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION calcscore_refuse()",
)
