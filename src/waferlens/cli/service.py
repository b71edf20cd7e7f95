"""``serve``, ``keys``, ``users``, ``audit``, ``client``, ``bench serve``: running the service, speaking to it."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from waferlens.cli import console
from waferlens.cli.arguments import AsJson
from waferlens.errors import OptionsError

Home = Annotated[
    Path, typer.Option("--home", help="Folder of the record: everything that is kept.", show_default=False)
]
Url = Annotated[str, typer.Option("--url", help="Of the service.")]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Instead of WAFERLENS_KEY or the file WAFERLENS_KEY_FILE.", show_default=False),
]
RoleName = Annotated[str, typer.Option("--role", help="station, inspector, engineer or admin.")]
_ADDRESS = "http://127.0.0.1:8080"

keys_app = typer.Typer(no_args_is_help=True, help="Keys of stations and scripts.")
users_app = typer.Typer(no_args_is_help=True, help="Accounts of people.")
audit_app = typer.Typer(no_args_is_help=True, help="The log of what people changed.")


def serve(
    home: Home,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="A bundle that `train` wrote; a rollout's champion goes before it."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="To listen at.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    engine: Annotated[str | None, typer.Option("--engine", help="Instead of the bundle's default engine.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="For one image.")] = 1,
    tls_certificate: Annotated[Path | None, typer.Option("--tls-certificate", help="PEM file.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file.")] = None,
    log: Annotated[Literal["text", "json"], typer.Option("--log", help="How log lines are written.")] = "text",
) -> None:
    """Run the inspection service: images in, decisions out, every one recorded before it is answered."""
    from waferlens.engines.pool import PoolOptions
    from waferlens.inspection.facts import load_facts
    from waferlens.monitoring.logs import log_as_json
    from waferlens.monitoring.traces import Traces
    from waferlens.settings.environment import num_engines, traces_wanted
    from waferlens.settings.service import load_service_settings
    from waferlens.web.app import build_app
    from waferlens.web.server import run_server
    from waferlens.wiring.engine import open_fleet
    from waferlens.wiring.record import open_record
    from waferlens.wiring.serve import bundle_to_serve, start_service

    if (tls_certificate is None) != (tls_key is None):
        raise OptionsError("TLS needs both files", expected="--tls-certificate and --tls-key")
    if log == "json":
        log_as_json()
    settings, traces = load_service_settings(home), Traces() if traces_wanted() else None
    serving = bundle_to_serve(home, bundle)
    pool = open_fleet(serving, PoolOptions(engine=engine, threads=threads, num_workers=num_engines()))
    service = start_service(load_facts(serving), open_record(home), settings, pool)
    if tls_certificate is not None:
        service.metrics.watch_certificate(tls_certificate)
    service.metrics.traces = traces
    try:
        scheme = "http" if tls_certificate is None else "https"
        console.status_console().print(f"serving {pool.model_version}; API at {scheme}://{host}:{port}/docs")
        run_server(build_app(service), host=host, port=port, tls_certificate=tls_certificate, tls_key=tls_key)
    finally:
        service.close()
        if traces is not None:
            traces.close()


@keys_app.command("create")
def create_key(
    home: Home,
    role: RoleName,
    name: Annotated[str | None, typer.Option("--name", help="Of the station; the role, if not given.")] = None,
) -> None:
    """Make a key and print it. It is shown once: only its hash is kept."""
    from waferlens.storage.accounts import Role
    from waferlens.wiring.record import open_record

    if role not in set(Role):
        raise OptionsError("unknown role", expected=", ".join(Role), found=role)
    record = open_record(home)
    console.print_line(record.accounts.create_key(name or role, Role(role), operator()))


@keys_app.command("list")
def list_keys(home: Home) -> None:
    """Every key without its secret, one JSON object a line."""
    from waferlens.wiring.record import open_record

    for key in open_record(home).accounts.all_keys():
        console.print_json_line(vars(key) | {"role": str(key.role)})


@keys_app.command("revoke")
def revoke_key(home: Home, key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Make a key useless."""
    from waferlens.wiring.record import open_record

    open_record(home).accounts.revoke_key(key_id, operator())


@users_app.command("create")
def create_user(
    home: Home,
    name: Annotated[str, typer.Argument(help="Of the person.")],
    role: RoleName,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Instead of asking; its first line.")
    ] = None,
) -> None:
    """Make a person's account; asks for the password."""
    from waferlens.storage.accounts import Role
    from waferlens.wiring.record import open_record

    if role not in set(Role):
        raise OptionsError("unknown role", expected=", ".join(Role), found=role)
    if password_file is not None:
        password = (password_file.read_text(encoding="utf-8").splitlines() or [""])[0]
    else:
        password = getpass.getpass("password: ")
    open_record(home).accounts.create_user(name, Role(role), password, operator())


@audit_app.command("verify")
def verify_audit(home: Home) -> None:
    """Check the chain of the audit log; exit code 1 when an entry was altered, removed or put in between."""
    from waferlens.wiring.record import open_record

    count = open_record(home).audit.verify()
    console.print_line(f"{count} entries, unbroken")


def client(
    files: Annotated[list[Path], typer.Argument(help="Image files.", show_default=False)],
    wafer: Annotated[str, typer.Option("--wafer", help="Its id.", show_default=False)],
    first_point: Annotated[int, typer.Option("--first-point", min=0, help="Of the first file.")] = 0,
    url: Url = _ADDRESS,
    key: Key = None,
) -> None:
    """Post image files to a service as the points of a wafer; one JSON answer a line."""
    from waferlens.web.client import Client

    with Client(url, _key(key)) as connection:
        for number, file in enumerate(files):
            console.print_json_line(connection.inspect(file.read_bytes(), wafer, first_point + number))


def bench_serve(
    images: Annotated[Path, typer.Option("--images", help="Folder of images to post.", show_default=False)],
    url: Url = _ADDRESS,
    key: Key = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.01, help="Images a second; without it as fast as answers come.")
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=86_400, help="How long.")] = 10.0,
    connections: Annotated[
        int | None, typer.Option("--connections", min=1, max=256, help="At once. [1, with a rate 8]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load a service for a while, print its latency, and hold every answer to the record."""
    from waferlens.web.load import bench_service

    figures = bench_service(
        url, _key(key), images, rate=rate, seconds=seconds, connections=connections or (8 if rate else 1)
    )
    if as_json:
        console.print_json(figures)
    else:
        console.print_table(
            "The service under load", ["figure", "value"], [[k, str(v)] for k, v in figures.items()]
        )


def _key(told: str | None) -> str:
    from waferlens.settings.service import client_key

    key = told or client_key()
    if key is None:
        raise OptionsError("no key", expected="--key, WAFERLENS_KEY or WAFERLENS_KEY_FILE")
    return key


def operator() -> str:
    """Who runs this command, for the audit log."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"
