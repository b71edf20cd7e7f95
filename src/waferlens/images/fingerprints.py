"""What makes two images the same image: the SHA-256 of their canonical pixels. Knows nothing of files.

A copy under another name, in another format or with other metadata has the same hash. Two exposures of the
same spot do not: near-duplicates are kept apart by groups (wafers), not here.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping

from waferlens.errors import DuplicateImageError
from waferlens.records import Pixels


def pixel_hash(pixels: Pixels) -> str:
    """SHA-256 of canonical pixels, (256, 256) uint8 or uint16, row by row, as 64 hexadecimal digits.

    16-bit samples are hashed in little-endian order, so that the hash is the same on every machine.
    """
    return hashlib.sha256(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def duplicate_groups(hashes: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Names that share their pixels, each group and the whole sorted; ``hashes`` maps name to hash."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, digest in hashes.items():
        names[digest].append(name)
    return tuple(sorted(tuple(sorted(group)) for group in names.values() if len(group) > 1))


def refuse_duplicates(parts: Mapping[str, Mapping[str, str]]) -> None:
    """Raise DuplicateImageError, naming a pair, when two parts hold the same pixels.

    ``parts`` maps the part (train, validation, test) to its images: name to hash. Duplicates inside one
    part are allowed here; they weight an image twice but do not flatter a figure.
    """
    seen: dict[str, tuple[str, str]] = {}
    pairs: list[str] = []
    for part, hashes in parts.items():
        for name, digest in hashes.items():
            first_part, first_name = seen.setdefault(digest, (part, name))
            if first_part != part:
                pairs.append(f"{first_part}: {first_name} = {part}: {name}")
    if pairs:
        more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
        raise DuplicateImageError(
            "the same image stands in two parts of the data",
            expected="different pixels in train, validation and test",
            found=pairs[0] + more,
        )
