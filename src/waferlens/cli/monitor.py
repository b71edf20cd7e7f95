"""``monitor``: the watch over a home's record, and its alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from waferlens.cli import console, tables
from waferlens.cli.arguments import AsJson
from waferlens.cli.service import Home, operator
from waferlens.storage.stored import DAY_MS

app = typer.Typer(
    no_args_is_help=True,
    help="The watch over the record: drift, novel defects, wafer signatures, escapes, the daily report.",
)

Bundle = Annotated[
    Path | None,
    typer.Option("--bundle", help="That the line runs: its reference is what weeks are compared with."),
]
Page = Annotated[Path | None, typer.Option("--page", help="Also write a page with plots, an HTML file.")]
Days = Annotated[float, typer.Option("--days", min=0.001, max=100_000, help="The last so many days.")]


@app.command("drift")
def drift(home: Home, bundle: Bundle = None, page: Page = None, as_json: AsJson = False) -> None:
    """What moved since levels were learned: a station's lamp, a product, a point, everything. Raises alarms."""
    from waferlens.bundle.contents import load_reference
    from waferlens.monitoring.drift_page import drift_sections
    from waferlens.monitoring.drift_tables import moment
    from waferlens.monitoring.pages import write_page
    from waferlens.settings.service import load_service_settings
    from waferlens.wiring.record import open_record
    from waferlens.wiring.watch import conclude, drift_figures, find_drift

    database, options = open_record(home).database, load_service_settings(home).watch
    found = find_drift(database, options, None if bundle is None else load_reference(bundle))
    new = conclude(database, "drift", found.findings, drift_figures(found))
    if page is not None:
        sections = drift_sections(found.rows, found.since_ms, found.drifts, found.week, found.points)
        write_page(page, "Drift", sections, f"{found.num_images:,} images of {found.model_version}")
    rows = [[moment(d.onset_ms), moment(d.raised_ms), d.told()] for d in found.drifts]
    _show(
        as_json,
        found.findings,
        {"model_version": found.model_version, "num_images": found.num_images, "new_alarms": new},
        ("Drift", ["since", "raised", "what"], rows),
    )


@app.command("novel")
def novel(
    home: Home,
    bundle: Annotated[Path, typer.Option("--bundle", help="The bundle that the line runs.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Describe the images that did not pass, and tell of crowds of a kind that nobody has named. Raises alarms."""
    from waferlens.inspection.inspector import Inspector
    from waferlens.settings.environment import bundle_key
    from waferlens.settings.service import load_service_settings
    from waferlens.storage.stored import clock_ms
    from waferlens.wiring.novelty import describe_doubtful, find_novel
    from waferlens.wiring.record import open_record
    from waferlens.wiring.watch import conclude

    record, options = open_record(home), load_service_settings(home).watch
    until_ms = clock_ms() + 1
    since_ms = round(until_ms - options.look_back_days * DAY_MS)
    with console.progress_bars() as bars:
        inspector = Inspector.load(bundle, public_key=bundle_key())
        described = describe_doubtful(record, inspector, since_ms, until_ms, bars.count)
    found = find_novel(record.database, options, until_ms, described)
    new = conclude(record.database, "novel", found.findings)
    figures = {name: getattr(found, name) for name in ("model_version", "num_history", "num_watched")}
    figures |= {"num_described": found.num_described, "num_undescribed": found.num_undescribed, "new_alarms": new}
    rows = [[c.known or "novel", str(len(c.members)), f"{c.expected:.2f}", c.members[0]] for c in found.crowds]
    _show(as_json, found.findings, figures, ("Crowds", ["class", "images", "expected", "an example"], rows))


@app.command("signatures")
def signatures(home: Home, days: Days = 1.0, as_json: AsJson = False) -> None:
    """Which pattern each wafer and each lot shows, with the likely cause. Raises alarms for lots."""
    from waferlens.settings.service import load_service_settings
    from waferlens.storage.stored import clock_ms
    from waferlens.wiring.patterns import find_signatures, signature_figures
    from waferlens.wiring.record import open_record
    from waferlens.wiring.watch import conclude

    database, settings = open_record(home).database, load_service_settings(home)
    until_ms = clock_ms() + 1
    maps = {name: product.map for name, product in settings.products.items()}
    since_ms = until_ms - round(days * DAY_MS)
    found = find_signatures(database, settings.watch, maps, since_ms, until_ms)
    new = conclude(database, "signatures", found.findings, signature_figures(found, since_ms, until_ms))
    shown = [*found.lots.items(), *found.wafers.items()]
    rows = [[name, str(s.signature), s.where, s.cause] for name, s in shown]
    figures = {"wafers": {name: str(s.signature) for name, s in found.wafers.items()}, "new_alarms": new}
    figures |= {
        "lots": {name: str(s.signature) for name, s in found.lots.items()},
        "without_map": found.without_map,
    }
    _show(as_json, found.findings, figures, ("Signatures", ["lot or wafer", "pattern", "where", "look at"], rows))


@app.command("escape")
def escape(home: Home, days: Days = 30.0, as_json: AsJson = False) -> None:
    """How many defects escape at most, from blind audits of PASS, and what shows the target. Raises alarms."""
    from waferlens.settings.service import load_service_settings
    from waferlens.storage.stored import clock_ms
    from waferlens.wiring.escapes import escape_figures, find_escapes
    from waferlens.wiring.record import open_record
    from waferlens.wiring.watch import conclude

    database, options = open_record(home).database, load_service_settings(home).watch
    until_ms = clock_ms() + 1
    bound, strata, findings = find_escapes(database, options, until_ms - round(days * DAY_MS), until_ms)
    new = conclude(database, "escape", findings, escape_figures(bound, strata))
    figures = vars(bound) | {"reached": bound.reached, "new_alarms": new}
    if not as_json:
        tables.print_facts("Escapes", {name: str(value) for name, value in figures.items()})
    rows = [[s.name, f"{s.num_images:,}", f"{s.num_audits:,}", f"{s.num_escapes:,}"] for s in strata]
    _show(as_json, findings, figures, ("Audits by score", ["stratum", "PASS images", "audits", "escapes"], rows))


@app.command("daily")
def daily(
    home: Home,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder that the report is put in.", show_default=False)
    ] = None,
) -> None:
    """Write the report of the last 24 hours, with the week and the month; prints where it went.

    It goes to the folder, and to the folder and the addresses of [report] in the home's service.toml.
    """
    from waferlens.settings.service import load_service_settings
    from waferlens.storage.stored import clock_ms
    from waferlens.wiring.daily import daily_report, deliver_report
    from waferlens.wiring.record import open_record
    from waferlens.wiring.review import open_review
    from waferlens.wiring.watch import conclude

    record, settings = open_record(home), load_service_settings(home)
    review = open_review(record, settings.review, settings.num_points())
    report = daily_report(record, review, settings.watch, clock_ms() + 1)
    conclude(record.database, "daily", [], report.figures())
    for place in deliver_report(report, settings.report, out):
        console.print_line(place)


@app.command("alarms")
def alarms(
    home: Home,
    clear: Annotated[
        int | None, typer.Option("--clear", help="The number of an alarm whose cause is gone.")
    ] = None,
    acknowledge: Annotated[
        int | None, typer.Option("--acknowledge", help="The number of an alarm to take.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Cleared ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The open alarms; acknowledge or clear one."""
    from waferlens.monitoring.drift_tables import moment
    from waferlens.wiring.alarms import acknowledge as take
    from waferlens.wiring.alarms import clear as close
    from waferlens.wiring.alarms import listed
    from waferlens.wiring.record import open_record

    record = open_record(home)
    if acknowledge is not None:
        take(record, acknowledge, operator())
    if clear is not None:
        close(record, clear, operator())
    found = listed(record.database, only_open=not every, limit=200)
    rows = [[str(a.seq), str(a.kind), moment(a.raised_ms), a.title, a.acknowledged_by or ""] for a in found]
    if as_json:
        console.print_json([vars(alarm) for alarm in found])
    else:
        console.print_table("Alarms", ["number", "kind", "raised", "what", "taken by"], rows)


def _show(
    as_json: bool, findings: Any, figures: dict[str, Any], table: tuple[str, list[str], list[list[str]]]
) -> None:
    if as_json:
        told = [{"kind": f.kind, "title": f.title, "onset_ms": f.onset_ms, "at_ms": f.at_ms} for f in findings]
        console.print_json(figures | {"findings": told})
        return
    title, columns, rows = table
    console.print_table(title, columns, rows or [["nothing", *[""] * (len(columns) - 1)]])
    for finding in findings:
        console.print_line(finding.title)
