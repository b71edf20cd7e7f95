"""Divide normal images into training and validation by group, the same way on every machine.

Images of one group (a wafer, else one file) never stand on both sides: neighbours on a wafer share its
colour, focus and line width, and a model that saw them would look better on validation than it is. Exact
duplicates are merged into one group for the same reason. Knows names, groups and hashes; opens no file.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from waferlens.errors import DataError, OptionsError
from waferlens.images.fingerprints import duplicate_groups
from waferlens.records import ImageRef

Part = Literal["train", "validation"]


@dataclass(frozen=True, kw_only=True)
class SplitImage:
    """One image of a split: its name in the data set, the SHA-256 of its canonical pixels, its group, its
    part.
    """

    name: str
    sha256: str
    group: str
    part: Part


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which normal image was trained on and which was held out; stored with the model.

    images: sorted by name. warning: what the reader of a report must know about this split, or None.
    duplicates: names with the same pixels (always on one side).
    """

    images: tuple[SplitImage, ...]
    seed: int
    validation_fraction: float
    warning: str | None = None
    duplicates: tuple[tuple[str, ...], ...] = ()

    @property
    def train(self) -> tuple[SplitImage, ...]:
        """The images to learn from, by name."""
        return tuple(image for image in self.images if image.part == "train")

    @property
    def validation(self) -> tuple[SplitImage, ...]:
        """The images held out, by name."""
        return tuple(image for image in self.images if image.part == "validation")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted content hashes and their parts: names and places on disk do not matter."""
        lines = sorted(f"{image.sha256} {image.part}\n" for image in self.images)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def hashes(self, part: Part) -> dict[str, str]:
        """Name to hash of one part, as ``refuse_duplicates`` takes it."""
        return {image.name: image.sha256 for image in self.images if image.part == part}

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``from_dict`` reads it back."""
        return {"fingerprint": self.fingerprint, **asdict(self)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Split:
        """A stored split. Raises DataError when it is incomplete or does not match its own fingerprint."""
        try:
            split = cls(
                images=tuple(SplitImage(**image) for image in stored["images"]),
                seed=int(stored["seed"]),
                validation_fraction=float(stored["validation_fraction"]),
                warning=stored["warning"],
                duplicates=tuple(tuple(names) for names in stored["duplicates"]),
            )
            fingerprint = stored["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("stored split cannot be read", found=f"{type(error).__name__}: {error}") from error
        if fingerprint != split.fingerprint:
            raise DataError("stored split was altered", expected=fingerprint, found=split.fingerprint)
        return split


def split_dataset(
    refs: Sequence[ImageRef], hashes: Sequence[str], *, validation_fraction: float = 0.2, seed: int
) -> Split:
    """Hold out exactly ``round(num_groups * validation_fraction)`` groups, at least one and never all.

    Groups are ranked by a hash of the seed and their name, so the draw depends on neither the order of the
    files nor a random generator, and a wafer that is added later moves few others. The fraction of *images*
    held out is the fraction of groups only as far as groups are alike in size. With one group alone the
    split is by file, and ``warning`` says so.

    Raises OptionsError for a fraction outside (0, 1), DataError for fewer than two distinct images.
    """
    if not 0.0 < validation_fraction < 1.0:
        raise OptionsError(
            "validation_fraction is out of range", expected="above 0, below 1", found=f"{validation_fraction}"
        )
    if len(refs) != len(hashes) or len({ref.name for ref in refs}) != len(refs):
        raise DataError(
            "images to split do not match",
            expected="one hash for each uniquely named image",
            found=f"{len(refs)} images, {len(hashes)} hashes",
        )
    groups = _merged_groups([ref.group for ref in refs], hashes)
    warning = None
    if len(set(groups)) == 1:
        warning = (
            f"all {len(refs)} images belong to one group ({refs[0].group}): split by file, so validation "
            "images share their wafer with training images and validation figures are optimistic"
        )
        groups = list(hashes)
    if len(set(groups)) < 2:
        raise DataError(
            "too few images to split", expected="at least 2 different ones", found=f"{len(set(groups))}"
        )
    held_out = _held_out(set(groups), validation_fraction, seed)
    images = (
        SplitImage(
            name=ref.name,
            sha256=digest,
            group=ref.group,
            part="validation" if group in held_out else "train",
        )
        for ref, digest, group in zip(refs, hashes, groups, strict=True)
    )
    return Split(
        images=tuple(sorted(images, key=lambda image: image.name)),
        seed=seed,
        validation_fraction=validation_fraction,
        warning=warning,
        duplicates=duplicate_groups({ref.name: digest for ref, digest in zip(refs, hashes, strict=True)}),
    )


def _held_out(groups: Iterable[str], fraction: float, seed: int) -> set[str]:
    ranked = sorted(groups, key=lambda group: _rank(seed, group))
    num_held_out = min(max(round(len(ranked) * fraction), 1), len(ranked) - 1)
    return set(ranked[:num_held_out])


def _rank(seed: int, group: str) -> bytes:
    return hashlib.blake2b(json.dumps([seed, group]).encode(), digest_size=16).digest()


def _merged_groups(groups: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """The group of each image after groups that share an exact duplicate became one (named after the
    least).
    """
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    members: dict[str, set[str]] = defaultdict(set)
    for group, digest in zip(groups, hashes, strict=True):
        members[digest].add(group)
    for sharing in members.values():
        roots = sorted({root(group) for group in sharing})
        for other in roots[1:]:
            parent[other] = roots[0]
    return [root(group) for group in groups]
