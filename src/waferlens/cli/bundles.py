"""``bundle keygen``, ``bundle sign`` and ``bundle verify``: who made a bundle, and is it what was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console
from waferlens.cli.arguments import AsJson, BundleFolder

app = typer.Typer(no_args_is_help=True, help="Sign bundles, and verify them.")


@app.command()
def keygen(
    folder: Annotated[Path, typer.Argument(help="For the two halves of the key.", show_default=False)],
) -> None:
    """Make an Ed25519 key pair: the private half signs, the public half goes to every machine that inspects.

    Keep the private half off those machines. A key that exists is never replaced.
    """
    from waferlens.bundle.signature import write_keys

    private, public = write_keys(folder)
    console.print_line(f"{private} signs; keep it where bundles are approved, and nowhere else")
    console.print_line(f"{public} verifies; name it in WAFERLENS_BUNDLE_KEY where bundles are loaded")


@app.command()
def sign(
    bundle: BundleFolder,
    key: Annotated[Path, typer.Option(help="Private Ed25519 key, PEM.", show_default=False)],
) -> None:
    """Verify a bundle's hashes and sign its manifest. Whatever changes the bundle takes the signature off."""
    from waferlens.bundle.signature import sign_bundle

    console.print_line(f"{sign_bundle(bundle, key)} signs {bundle}")


@app.command()
def verify(
    bundle: BundleFolder,
    key: Annotated[
        Path | None,
        typer.Option(help="Public Ed25519 key, PEM; without it the one of WAFERLENS_BUNDLE_KEY, if any."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a bundle is what was saved, and signed by the key. Exit code 1 when it is not."""
    from waferlens.bundle.signature import verify_trusted
    from waferlens.settings.environment import bundle_key

    used = key or bundle_key()
    manifest = verify_trusted(bundle, used)
    if as_json:
        told = {
            "num_files": len(manifest["files"]),
            "signed": used is not None,
            "provenance": manifest["provenance"],
        }
        console.print_json(told)
        return
    signed = "its signature is by this key" if used else "no key was given, so nothing says who made it"
    console.print_line(f"{bundle}: {len(manifest['files'])} files are as saved; {signed}")
