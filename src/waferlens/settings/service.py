"""How a service runs: ``HOME/service.toml``, and from the environment where its record is. TOML holds no secret.

A variable may also be read from a file, named by the same variable with ``_FILE`` behind it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from waferlens.errors import OptionsError
from waferlens.inspection.failsafe import Product
from waferlens.inspection.places import MapOptions
from waferlens.inspection.service import ServiceOptions
from waferlens.lifecycle.guardrails import GuardrailOptions
from waferlens.lifecycle.replay import ShadowOptions
from waferlens.monitoring.mail import MailOptions
from waferlens.monitoring.options import WatchOptions
from waferlens.review.policy import ReviewOptions
from waferlens.settings.checked import read_toml, wrong_entry

FILE_NAME = "service.toml"


class RetentionOptions(BaseModel, frozen=True, extra="forbid"):
    """How long the record is kept. Days; none: for ever."""

    pass_days: float | None = Field(None, gt=0, description="inspections that passed, with their images")
    all_days: float | None = Field(None, gt=0, description="every inspection, with its images")


class ProductOptions(BaseModel, frozen=True, extra="forbid"):
    """A product that may be inspected."""

    num_points: int | None = Field(None, ge=1, le=100_000, description="of a wafer; none: any point")
    map: MapOptions | None = Field(None, description="where its points lie; none: nobody said")


class StationOptions(BaseModel, frozen=True, extra="forbid"):
    """The review station in the browser."""

    idle_minutes: float = Field(10.0, gt=0, le=720, description="without use until it asks for the password again")


class ReportOptions(BaseModel, frozen=True, extra="forbid"):
    """Where the daily report goes."""

    folder: Path | None = Field(None, description="that it is dropped in; none: only where the command says")
    mail: MailOptions | None = Field(None, description="who gets it by mail; none: nobody")


class ServiceSettings(BaseModel, frozen=True, extra="forbid"):
    """HOME/service.toml. Without products every product and point is accepted."""

    products: dict[str, ProductOptions] = {}
    inspection: ServiceOptions = ServiceOptions()
    retention: RetentionOptions = RetentionOptions()
    review: ReviewOptions = ReviewOptions()
    station: StationOptions = StationOptions()
    watch: WatchOptions = WatchOptions()
    report: ReportOptions = ReportOptions()
    guardrails: GuardrailOptions = GuardrailOptions()
    shadow: ShadowOptions = ShadowOptions()
    max_upload_bytes: int = Field(8_388_608, ge=1024, description="of one image")
    max_batch_images: int = Field(500, ge=1, le=10_000, description="of one wafer in one request")
    upload_seconds: float = Field(10.0, gt=0, description="for a body to arrive")

    def known_products(self) -> dict[str, Product]:
        """The products by name."""
        return {name: Product(num_points=told.num_points) for name, told in self.products.items()}

    def num_points(self) -> dict[str, int | None]:
        """How many points a wafer of each product has, where that is known."""
        return {name: told.num_points for name, told in self.products.items()}


def load_service_settings(home: Path) -> ServiceSettings:
    """The settings in a home folder; the defaults where it has none. Raises OptionsError naming the entry."""
    path = home / FILE_NAME
    if not path.exists():
        return ServiceSettings()
    content = read_toml(path)
    try:
        return ServiceSettings.model_validate(content)
    except ValidationError as error:
        raise wrong_entry(error, content, str(path)) from error


def database_url(home: Path) -> str:
    """``WAFERLENS_DATABASE_URL``, else a SQLite file in the home folder."""
    return _told("WAFERLENS_DATABASE_URL") or f"sqlite:///{(home / 'record.db').absolute()}"


def blob_url() -> str | None:
    """``WAFERLENS_BLOB_URL``; None: a folder in the home folder."""
    return _told("WAFERLENS_BLOB_URL")


def registry_url(home: Path) -> str:
    """``WAFERLENS_MLFLOW_URL``: of an MLflow server; without it a SQLite file in the home folder."""
    return _told("WAFERLENS_MLFLOW_URL") or f"sqlite:///{(home / 'mlflow.db').absolute()}"


def tracking_url() -> str | None:
    """The MLflow server that trainings are logged on; None where none is configured."""
    return _told("WAFERLENS_MLFLOW_URL")


def archive_url() -> str | None:
    """``WAFERLENS_ARCHIVE_URL``: a bucket for old versions, as for images; None: a folder in the home folder."""
    return _told("WAFERLENS_ARCHIVE_URL")


def bundles_folder(home: Path) -> Path:
    """``WAFERLENS_BUNDLES``: where registered bundles are, when several homes share a record; else in the home."""
    told = _told("WAFERLENS_BUNDLES")
    return home / "bundles" if told is None else Path(told)


def mail_password() -> str | None:
    """``WAFERLENS_MAIL_PASSWORD``: of ``[report.mail]``'s user at the relay."""
    return _told("WAFERLENS_MAIL_PASSWORD")


def client_key() -> str | None:
    """``WAFERLENS_KEY``: the key that a client sends."""
    return _told("WAFERLENS_KEY")


def _told(variable: str) -> str | None:
    """A variable, or the content of the file that ``VARIABLE_FILE`` names. Raises OptionsError."""
    if os.environ.get(variable):
        return os.environ[variable]
    file = os.environ.get(f"{variable}_FILE")
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"the file of {variable}_FILE cannot be read", found=str(error)) from error
