"""Statements of every batch: compiled once for an engine, and run by its driver.

SQLAlchemy does more for each execution than SQLite does. What is rare goes the usual way.
"""

from __future__ import annotations

import contextlib
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection


class Hot:
    """A statement whose values and results are numbers, text or `None`: nothing is converted.

    Args:
        statement: as SQLAlchemy has it.
        columns: of an insert or an update, what each row brings.
    """

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._forms: dict[str, _Form] = {}

    def all(self, connection: Connection, **values: Any) -> list[Any]:
        """Run it, and return its rows, whose columns are attributes."""
        form = self._form(connection)
        cursor = _driver_of(connection).execute(form.text, form.bind(values))
        return form.rows(cursor)

    def many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run it once for each of `rows`."""
        form = self._form(connection)
        with contextlib.closing(_driver_of(connection).cursor()) as cursor:
            cursor.executemany(form.text, [form.bind(row) for row in rows])

    def _form(self, connection: Connection) -> _Form:
        dialect = connection.dialect
        form = self._forms.get(dialect.name)
        if form is None:
            form = self._forms[dialect.name] = _Form(
                self._statement.compile(dialect=dialect, column_keys=self._columns)
            )
        return form


class _Form:
    """The statement as one engine's driver takes it."""

    def __init__(self, compiled: Any) -> None:
        self.text: str = compiled.string
        self._order: list[str] | None = compiled.positiontup
        self._constants: dict[str, Any] = compiled.params
        self._make_row: Callable[[Any], Any] | None = None

    def bind(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver wants them: by position, or by name."""
        every = {**self._constants, **values}
        return every if self._order is None else [every[name] for name in self._order]

    def rows(self, cursor: Any) -> list[Any]:
        """What a cursor returns, with names for its columns."""
        if self._make_row is None:
            names = [column[0] for column in cursor.description]
            make_kind: Any = namedtuple  # its fields are known when the statement has run
            kind = make_kind("Row", names)
            self._make_row = lambda row: kind(*row)
        return list(map(self._make_row, cursor.fetchall()))


def _driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection
