"""Runs the migrations that lead from one schema to that of this version, or prints their SQL.

Owns no transaction, and doesn't decide whether a database may be changed: `schema` does.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Dialect, insert, update

from ..meta import FIRST_VALUES, SCHEMA_KEY
from ..tables import POSTGRES_STORAGE, SCHEMA, meta, metadata

DIRECTORY = Path(__file__).parent


def titles(found: str) -> tuple[str, ...]:
    """What each step from schema `found` on does, in their order."""
    return tuple(f"schema {step.revision}: {step.doc}" for step in _steps(found))


def run(connection: Connection, found: str) -> None:
    """Change the tables of schema `found` to those of this version."""
    _run(MigrationContext.configure(connection), _steps(found))


def print_sql(dialect: Dialect, found: str | None) -> str:
    """The SQL of the same steps, as one transaction; with `None`, the SQL of a new database."""
    output = io.StringIO()
    context = MigrationContext.configure(
        dialect=dialect, opts={"as_sql": True, "output_buffer": output, "literal_binds": True}
    )
    if found is None:
        with Operations.context(context) as operations:
            for table in metadata.sorted_tables:
                context.impl.create_table(table)
            if dialect.name == "postgresql":
                for statement in POSTGRES_STORAGE:
                    operations.execute(statement)
            for key, value in FIRST_VALUES.items():
                operations.execute(insert(meta).values(key=key, value=value))
    else:
        _run(context, _steps(found))
    return f"BEGIN;\n\n{output.getvalue()}COMMIT;\n"


def _steps(found: str) -> Sequence[Script]:
    scripts: Any = ScriptDirectory(str(DIRECTORY))
    return list(scripts.iterate_revisions(SCHEMA, found))[::-1]


def _run(context: MigrationContext, steps: Sequence[Script]) -> None:
    with Operations.context(context) as operations:
        for step in steps:
            step.module.upgrade()
            operations.execute(
                update(meta).where(meta.c.key == SCHEMA_KEY).values(value=step.revision)
            )
