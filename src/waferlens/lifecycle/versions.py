"""What a version's three numbers mean, and which one moves. ``vae-wafer-v{major}.{minor}.{patch}``.

major   what others rely on is another: the product, which images are taken, what the score means, the network's
        kind, the format of the bundle. Scores of two major versions are never compared.
minor   the same for whoever calls, learned anew: other weights or another calibration.
patch   the same weights and calibration: only exports, thresholds or texts differ.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Self

from waferlens.bundle.contents import load_config, load_thresholds
from waferlens.bundle.manifest import read_manifest
from waferlens.errors import IllegalMove, OptionsError

LINE = "vae-wafer"
_LEARNED = ("model.safetensors", "calibration.safetensors")


class Step(IntEnum):
    """Which of the three numbers moves; a larger one is a larger change."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, order=True)
class Version:
    """Three numbers, in order."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``v2.3.1`` or ``vae-wafer-v2.3.1``. Raises OptionsError."""
        found = re.fullmatch(r"(?:vae-wafer-)?v(\d{1,4})\.(\d{1,3})\.(\d{1,3})", text)
        if found is None:
            raise OptionsError("a model's version", expected=f"{LINE}-v{{major}}.{{minor}}.{{patch}}", found=text)
        return cls(*map(int, found.groups()))

    def after(self, step: Step) -> Version:
        """The next version when this number moves: those to its right start again at zero."""
        if step is Step.MAJOR:
            return Version(self.major + 1, 0, 0)
        if step is Step.MINOR:
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)

    @property
    def short(self) -> str:
        """``v2.3.1``."""
        return f"v{self.major}.{self.minor}.{self.patch}"

    @property
    def name(self) -> str:
        """``vae-wafer-v2.3.1``."""
        return f"{LINE}-{self.short}"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What decides on a version's step. contract: what callers rely on. learned: SHA-256 of what was learned."""

    contract: dict[str, str]
    learned: str
    product: str

    def to_json(self) -> str:
        """For the record."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of ``to_json``."""
        return cls(**json.loads(text))


def identity_of(bundle: Path) -> Identity:
    """Of a bundle whose hashes were verified. Raises BundleError."""
    config, thresholds, files = load_config(bundle), load_thresholds(bundle), read_manifest(bundle)["files"]
    product = str(config.recipe.get("name", "default"))
    contract = {
        "product": product,
        "bundle format": str(config.format_version),
        "input": config.input_type,
        "images": json.dumps(config.images.model_dump(mode="json"), sort_keys=True),
        "score": thresholds.score_name,
        "network": str(config.detector["network"]["kind"]),
    }
    learned = hashlib.sha256("".join(str(files[name]) for name in _LEARNED).encode()).hexdigest()
    return Identity(contract=contract, learned=learned, product=product)


def step_between(old: Identity | None, new: Identity) -> tuple[Step, str]:
    """Which number moves from one bundle to another, and why; None: there was none before."""
    if old is None:
        return Step.MAJOR, "the first version"
    changed = [name for name, value in old.contract.items() if new.contract[name] != value]
    if changed:
        return Step.MAJOR, f"another {' and '.join(changed)}"
    if old.learned != new.learned:
        return Step.MINOR, "learned anew: other weights or another calibration"
    return Step.PATCH, "the same weights and calibration"


def next_version(newest: Version | None, step: Step) -> Version:
    """The version of the next bundle; the first of all is v1.0.0."""
    return (newest or Version(0, 0, 0)).after(step)


def check_asked(asked: Version, due: Version, why: str, taken: Iterable[Version]) -> None:
    """Raises IllegalMove unless a person may register ``asked`` where ``due`` is the rule's.

    A larger step than the rule's is a person's right; a smaller one would hide a change, and a gap would look
    like a version that was lost.
    """
    newest = max(taken, default=None)
    allowed = {due} if newest is None else {later for step in Step if (later := newest.after(step)) >= due}
    if asked not in allowed:
        raise IllegalMove(
            "this version cannot be registered",
            expected=f"{' or '.join(each.name for each in sorted(allowed))} ({why})",
            found=asked.name,
        )
