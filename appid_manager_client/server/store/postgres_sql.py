"""The statements that only PostgreSQL has: how a batch begins, locks and takes.

Text of SQL, and nothing that runs it. Each statement is one of a few constant texts.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence

from .bounds import Place
from .contract import LOCK_PATIENCE, NEW_APPID_COLUMNS, Asked, Touched

# A role's or a database's defaults may say otherwise, and lose what was acknowledged. The third
# setting shows whether a commit came with a warning; the last one frees the locks of a service that
# was stopped in the middle of a batch. Each statement has an index that it is made for, whatever
# the statistics say: after an init they are as old as the last vacuum, and a plan by them would
# read and sort all AppIDs of a product for each batch.
# The message is a few bytes in the WAL that nobody reads. A transaction that has written something
# is acknowledged when all that it could see is durable too, here and on a synchronous standby.
_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = {lock_ms};
SET LOCAL client_min_messages = warning;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL jit = off;
SET LOCAL statement_timeout = {statement_ms};
SET LOCAL idle_in_transaction_session_timeout = {idle_ms};
{locks}
SELECT pg_logical_emit_message(true, 'appid-manager', '');
SELECT pg_current_xact_id()::text
"""

_WHOLE_PATIENCE_MS = 30_000
BEGIN_WHOLE = f"""
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = {_WHOLE_PATIENCE_MS};
SET LOCAL client_min_messages = warning;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0
"""
"""Begins a transaction of one who changes the database as a whole.

It waits half a minute for a lock: another service may be changing the tables.
"""

BEGIN_READING = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = 30000
"""

_LOCK_MS = round(LOCK_PATIENCE * 1000)
# A batch: the lock, and what is done with it. An init of a million AppIDs takes a minute.
_STATEMENT_MS = _LOCK_MS + 1500
_INIT_MS = 120_000

_FATE_MS = 1000

# Two seconds less than clients wait by default: callers hear of it, and some of it passes before
# a batch begins.
_BATCH_SECONDS = 3.0
FATE_SECONDS = 1.5
"""How long it may take to ask what became of a transaction."""

READING_SECONDS = 32.0
"""How long a query may take, with what is read of its answer."""

# The first numbers of advisory locks; the second number is a checksum.
_REQUEST_LOCK = 0x61707071  # two batches with one request id
_INIT_LOCK = 0x61707069  # inits: each looks whether its AppIDs belong to others
_LINE_LOCK = 0x6170706C  # the line of a product
_LINES_LOCK = 0x61707073  # those of all products


def _lock_each(kind: int, names: Iterable[str]) -> str:
    """Take a lock for each name, in the order of their numbers: two batches could otherwise wait
    for each other.
    """
    numbers = ", ".join(map(str, sorted(zlib.crc32(name.encode()) - 2**31 for name in names)))
    return f"""
SELECT count(pg_advisory_xact_lock({kind}, number)) FROM unnest(ARRAY[{numbers}]) AS number;
"""


def begin(touched: Touched) -> str:
    """The statements that begin a batch. Two batches with one request id don't run side by side.

    Otherwise the second one would find the id taken only when it adds its lease. Nor do two that
    count those who are before others in one line.
    """
    locks = f"SELECT pg_advisory_xact_lock({_INIT_LOCK}, 0);" if touched.products else ""
    if touched.request_ids:
        locks += _lock_each(_REQUEST_LOCK, touched.request_ids)
    if touched.all_lines:
        locks += f"SELECT pg_advisory_xact_lock({_LINES_LOCK}, 0);"
    elif touched.lines:
        locks += f"SELECT pg_advisory_xact_lock_shared({_LINES_LOCK}, 0);"
        locks += _lock_each(_LINE_LOCK, touched.lines)
    return _BEGIN.format(
        lock_ms=_LOCK_MS,
        statement_ms=_INIT_MS if touched.products else _STATEMENT_MS,
        idle_ms=_INIT_MS if touched.products else 2 * _STATEMENT_MS,
        locks=locks,
    )


def longest(touched: Touched) -> float:
    """How many seconds a batch may take, from its first statement to the answer to its commit."""
    return _INIT_MS / 1000 if touched.products else _BATCH_SECONDS


# Milliseconds since the epoch; `{}` is a function that returns a timestamp.
_MILLISECONDS = "floor(extract(epoch FROM {}) * 1000)::bigint"
CLOCK = _MILLISECONDS.format("clock_timestamp()")
_STATEMENT_TIME = _MILLISECONDS.format("statement_timestamp()")

# The clock is read when all rows are locked: `array_agg` has to see them first. What the locked
# rows hold must be read in a later statement: this one sees all as it was before it waited.
_LOCK = """
WITH due AS MATERIALIZED (
  SELECT appid, expires FROM leases WHERE stop IS NULL AND expires <= {time}
  ORDER BY expires LIMIT 5000
), requested AS MATERIALIZED (
  SELECT appid, stop FROM leases WHERE request_id = ANY(%(request_ids)s::text[])
), named AS MATERIALIZED (
  SELECT appid, stop FROM leases WHERE lease_id = ANY(%(lease_ids)s::text[])
), locked AS MATERIALIZED (
  SELECT id FROM appids WHERE appid = ANY({appids}) ORDER BY id FOR UPDATE
)
SELECT
  {clock} AS now, array_agg(id) AS ids, (SELECT min(expires) FROM due) AS first_due,
  EXISTS (SELECT FROM requested) AS repeats, EXISTS (SELECT FROM line) AS waiting,
  EXISTS (SELECT FROM pauses) AS pauses
FROM locked
"""
_DUE = "ARRAY(SELECT appid FROM due)"
_FREE = """ARRAY(
  SELECT appid FROM appids WHERE product = %(product_{0})s AND NOT held
  AND last_stop < %(before_{0})s ORDER BY last_stop, position LIMIT %(count_{0})s
)"""


def lock(touched: Touched, now: int | None) -> tuple[str, dict[str, object]]:
    """The statement that locks what a batch touched, in the order of ids, and its parameters.

    It returns the time after the last lock, the locked rows of `appids`, when the first lease
    expired that is over, whether a request is a known one, whether anybody waits in line, and
    whether a product is paused.

    Args:
        touched: by the batch.
        now: the time; `None`: that of the database.
    """
    time = _STATEMENT_TIME if now is None else "%(now)s"
    parts = [_DUE]
    parameters: dict[str, object] = {"now": now}
    for name, condition in _CONDITIONS.items():
        values = getattr(touched, name)
        if values:
            parts.append(condition)
        parameters[name] = values if isinstance(values, bool) else sorted(values)
    for number, ((product, before), count) in enumerate(sorted(touched.contended.items())):
        parts.append(_FREE.format(number))
        parameters[f"product_{number}"] = product
        parameters[f"before_{number}"] = before
        parameters[f"count_{number}"] = count
    return _LOCK.format(time=time, appids=" || ".join(parts), clock=CLOCK), parameters


_CONDITIONS = {
    "appids": "%(appids)s::text[]",
    "lease_ids": "ARRAY(SELECT appid FROM named WHERE stop IS NULL)",
    "request_ids": "ARRAY(SELECT appid FROM requested WHERE stop IS NULL)",
    "with_ttl": "ARRAY(SELECT appid FROM leases WHERE stop IS NULL AND ttl IS NOT NULL)",
    "products": "ARRAY(SELECT appid FROM appids WHERE product = ANY(%(products)s::text[]))",
}


IN_OTHERS = """
SELECT appid, product FROM appids
WHERE appid = ANY(%(names)s::text[]) AND product <> %(product)s LIMIT 1
"""
ADD_APPIDS = f"COPY appids ({', '.join(NEW_APPID_COLUMNS)}, retired, last_stop) FROM STDIN"

# One statement, so that no crash and no error comes between the AppID and its lease; and one for
# all products, as each message to the server and back costs as much as some leases. Each product's
# search begins at a place before which nothing is free. The driver writes JSON in half the time
# that it needs for arrays. The limit of all tells the planner that few rows are updated: it would
# read the whole table to find them.
_TAKE = """
WITH asked AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(asked)s::json) AS asked (
    number integer, product text, before bigint, count bigint, last_stop bigint, position bigint
  )
), next AS MATERIALIZED (
  SELECT number, free.id, free.last_stop, free.position FROM asked CROSS JOIN LATERAL (
    SELECT id, last_stop, position FROM appids
    WHERE product = asked.product AND NOT held AND last_stop < asked.before
    AND (last_stop, position) >= (asked.last_stop, asked.position)
    ORDER BY last_stop, position LIMIT asked.count FOR UPDATE SKIP LOCKED
  ) AS free
  LIMIT %(total)s
), taken AS (
  UPDATE appids SET held = true, last_start = %(now)s, fence = greatest(fence + 1, %(now)s)
  FROM next WHERE appids.id = next.id
  RETURNING
    next.number, appids.product, appids.appid, appids.vid, appids.fence,
    next.last_stop, next.position
), ordered AS (
  SELECT *, row_number() OVER (PARTITION BY number ORDER BY last_stop, position) AS place
  FROM taken
), added AS (
  INSERT INTO leases
    (lease_id, request_id, product, appid, vid, holder, start, ttl, expires, fence, token)
  SELECT lease_id, request_id, product, appid, vid, holder, %(now)s, ttl, expires, fence, token
  FROM ordered JOIN json_to_recordset(%(wanted)s::json) AS wanted (
    number integer, place bigint, lease_id text, request_id text, holder text, ttl bigint,
    expires bigint, token text
  ) USING (number, place)
)
SELECT number, appid, vid, fence, last_stop, position FROM ordered ORDER BY number, place
"""


def take(
    now: int, asked: Sequence[Asked], bounds: Sequence[Place]
) -> tuple[str, dict[str, object]]:
    """The statement that takes AppIDs and adds their leases, and its parameters.

    It returns what was taken, product by product as in `asked`, in the order of granting.

    Args:
        now: when they are granted.
        asked: no product twice.
        bounds: for each of them, the first place that is looked at.
    """
    places = [max(bound, (group.since, 0)) for group, bound in zip(asked, bounds)]
    return _TAKE, {
        "now": now,
        "total": sum(len(group.wanted) for group in asked),
        "asked": json.dumps(
            [
                {
                    "number": number,
                    "product": group.product,
                    "before": group.before,
                    "count": len(group.wanted),
                    "last_stop": last_stop,
                    "position": position,
                }
                for number, (group, (last_stop, position)) in enumerate(zip(asked, places))
            ]
        ),
        "wanted": json.dumps(
            [
                {"number": number, "place": place, **one._asdict()}
                for number, group in enumerate(asked)
                for place, one in enumerate(group.wanted, 1)
            ]
        ),
    }


# The postmaster outlives the crash of a backend, after which all recovers as after any crash;
# PostgreSQL resets its statistics then.
INCARNATION = """
concat_ws(
  '/',
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
  extract(epoch FROM pg_postmaster_start_time()),
  (SELECT extract(epoch FROM stats_reset) FROM pg_stat_wal)
)
"""
"""It changes when a standby takes over, and when the server starts again, after a crash too.

A number of a transaction is good for one incarnation: after a crash, PostgreSQL knows nothing of
the numbers of transactions that were lost, and gives them again.
"""

BEGIN_FATE = _BEGIN.format(
    lock_ms=_LOCK_MS, statement_ms=_FATE_MS, idle_ms=2 * _STATEMENT_MS, locks=""
)
"""Begins a transaction that asks what became of another one."""

FATE = f"""
SELECT CASE WHEN {INCARNATION} = %(incarnation)s THEN pg_xact_status(%(number)s::xid8)
  ELSE 'unknown' END
"""
ANY_LEASE = "SELECT 1 FROM leases WHERE lease_id = ANY(%(lease_ids)s) LIMIT 1"
