"""How quickly the record answers at scale: generates inspections in PostgreSQL, prints plans and timings.

    .venv/bin/python bench/storage_queries.py --url postgresql://... --rows 10000000 --out runs/bench/storage.json

Rows are made by the database itself, 50,000 a day up to now, 200 points a wafer, 4 % REVIEW and 1 % REJECT, a
latent of 512 bytes each, at random. Nothing else may be in that database. Each query runs through the
package's own code, 30 times; the plan is what PostgreSQL says about the very statement.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, event, text

from waferlens.records import DecisionKind
from waferlens.storage.database import Database, migrate, open_database
from waferlens.storage.inspections import (
    InspectionFilter,
    hourly_counts,
    newest_at_point,
    page_of_inspections,
    points_of_wafer,
    recent_wafers,
)
from waferlens.storage.stored import HOUR_MS

A_DAY = 50_000
REPEATS = 30
FILL = """
INSERT INTO inspections
SELECT lpad(to_hex(ms), 12, '0') || substr(md5(n::text), 1, 20), ms,
       'WF-' || (n / 200), n % 200, CASE WHEN n % 3 = 0 THEN 'memory' ELSE 'logic' END, 'LOT-' || (n / 5000),
       'camera-' || (n % 4),
       CASE WHEN r < 0.95 THEN 'PASS' WHEN r < 0.99 THEN 'REVIEW' ELSE 'REJECT' END,
       0.97, NULL, CASE WHEN n % 5000 = 0 THEN 'image' END, r * 4, r / 100, 0.5, 1.9, 4.2, 'score',
       'vae-wafer-v1.0.0', md5(n::text) || md5((-n)::text), 40000, 8.2,
       '{"transfer": 0.1, "preprocess": 0.6, "inference": 8.2, "decision": 0.1}',
       decode(repeat(md5(n::text), 32), 'hex')
FROM (SELECT n, random() AS r, CAST(:newest AS bigint) - CAST((:rows - n) * :step AS bigint) AS ms
      FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n) AS made
"""


def fill(database: Database, rows: int, newest_ms: int) -> float:
    """Generate the rows, a million a transaction, then let the database look at them; the seconds it took."""
    started, step = time.perf_counter(), 24 * HOUR_MS / A_DAY
    for first in range(1, rows + 1, 1_000_000):
        told = {"newest": newest_ms, "rows": rows, "step": step, "first": first}
        with database.writing() as connection:
            connection.execute(text(FILL), told | {"last": min(rows, first + 999_999)})
        print(f"{min(rows, first + 999_999):,} rows after {time.perf_counter() - started:.0f} s", flush=True)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE inspections"))
    return time.perf_counter() - started


def questions(rows: int, newest_ms: int) -> dict[str, Callable[[Connection], object]]:
    middle = rows // 400
    two_hours_ago = newest_ms - 2 * HOUR_MS
    week_ago = newest_ms - 7 * 24 * HOUR_MS

    def page(limit: int = 50, **told: object) -> Callable[[Connection], object]:
        return lambda connection: page_of_inspections(connection, InspectionFilter(**told), limit=limit)  # type: ignore[arg-type]

    return {
        "the review list, newest 50": page(decision=DecisionKind.REVIEW),
        "the review list of a day a week ago": page(
            decision=DecisionKind.REVIEW, since_ms=week_ago, until_ms=week_ago + 24 * HOUR_MS
        ),
        "the review list of one product": page(decision=DecisionKind.REVIEW, product="memory"),
        "what failed, newest 50": page(failed=True),
        "all of the last two hours, 500 a page": page(limit=500, since_ms=two_hours_ago),
        "a wafer, every point": lambda connection: points_of_wafer(connection, f"WF-{middle}"),
        "a wafer's inspections": page(wafer_id=f"WF-{middle}"),
        "one point, for its heatmap": lambda connection: newest_at_point(connection, f"WF-{middle}", 7),
        "the wafers of the last 5,000": lambda connection: recent_wafers(connection, num_inspections=5000),
        "hourly counts of a day": lambda connection: hourly_counts(
            connection, since_ms=newest_ms - 24 * HOUR_MS, until_ms=newest_ms
        ),
    }


def plan_of(database: Database, ask: Callable[[Connection], object]) -> list[str]:
    """What PostgreSQL does for the statement that ``ask`` sends."""
    sent = []

    def note(_connection, _cursor, statement, parameters, _context, _many):  # type: ignore[no-untyped-def]
        sent.append((statement, parameters))

    with database.reading() as connection:
        event.listen(connection, "before_cursor_execute", note)
        ask(connection)
        event.remove(connection, "before_cursor_execute", note)
        statement, parameters = sent[0]
        explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters)
        return [row[0] for row in explained]


def timed(database: Database, ask: Callable[[Connection], object]) -> dict[str, float]:
    milliseconds = []
    for _ in range(REPEATS):
        with database.reading() as connection:
            started = time.perf_counter()
            ask(connection)
            milliseconds.append(1e3 * (time.perf_counter() - started))
    return {"first_ms": milliseconds[0], "median_ms": statistics.median(milliseconds), "max_ms": max(milliseconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    database = open_database(told.url)
    migrate(database)
    with database.reading() as connection:
        there = connection.execute(text("SELECT count(*), max(received_ms) FROM inspections")).one()
    newest_ms = there[1] or time.time_ns() // 1_000_000
    seconds = fill(database, told.rows, newest_ms) if there[0] == 0 else 0.0
    rows = there[0] or told.rows
    with database.reading() as connection:
        size = connection.execute(text("SELECT pg_total_relation_size('inspections')")).scalar_one()
    results = {}
    for name, ask in questions(rows, newest_ms).items():
        results[name] = timed(database, ask) | {"plan": plan_of(database, ask)}
        print(f"\n{name}: {results[name]['median_ms']:.1f} ms (first {results[name]['first_ms']:.1f})")
        print("\n".join(f"    {line}" for line in results[name]["plan"]), flush=True)
    figures = {"rows": rows, "fill_seconds": seconds, "size_bytes": size, "queries": results}
    print(f"\n{rows:,} rows, {size / 1e9:.1f} GB")
    if told.out:
        told.out.parent.mkdir(parents=True, exist_ok=True)
        told.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
