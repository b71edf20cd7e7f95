"""What the environment says. Read when asked, never on import."""

from __future__ import annotations

import os
from pathlib import Path

from waferlens.errors import OptionsError


def cache_folder() -> Path:
    """Where packed images are kept: ``WAFERLENS_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("WAFERLENS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waferlens"


def num_workers() -> int:
    """Processes for decoding and drawing: ``WAFERLENS_WORKERS``, else the cores that this process may use.

    Raises OptionsError when ``WAFERLENS_WORKERS`` is not a positive whole number.
    """
    chosen = _whole_number("WAFERLENS_WORKERS")
    if chosen is not None:
        return chosen
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bundle_key() -> Path | None:
    """The public key that every bundle must be signed by before it is loaded: ``WAFERLENS_BUNDLE_KEY``, a PEM
    file.

    None where none is configured: hashes are verified then, and nothing says who made a bundle.
    Raises OptionsError when the file is not there: a key that was asked for must not be left out in silence.
    """
    chosen = os.environ.get("WAFERLENS_BUNDLE_KEY")
    if not chosen:
        return None
    if not Path(chosen).is_file():
        raise OptionsError("the environment variable WAFERLENS_BUNDLE_KEY", expected="a PEM file", found=chosen)
    return Path(chosen)


def triton_urls() -> tuple[str, ...]:
    """Addresses of the Triton servers that infer: ``WAFERLENS_TRITON``, separated by commas; none by default."""
    return tuple(url.strip() for url in os.environ.get("WAFERLENS_TRITON", "").split(",") if url.strip())


def num_engines() -> int | None:
    """Engines side by side in one process of a service: ``WAFERLENS_ENGINES``; None for one a core.

    Where several processes serve on one machine, they share its cores. Raises OptionsError as ``num_workers``
    does.
    """
    return _whole_number("WAFERLENS_ENGINES")


def traces_wanted() -> bool:
    """Whether a collector of traces is named, in OpenTelemetry's own variables; its library reads them."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(os.environ.get(name) for name in names)


def _whole_number(variable: str) -> int | None:
    chosen = os.environ.get(variable)
    if not chosen:
        return None
    if not chosen.isascii() or not chosen.isdigit() or int(chosen) < 1:
        raise OptionsError(
            f"the environment variable {variable}", expected="a whole number >= 1", found=repr(chosen)
        )
    return int(chosen)
