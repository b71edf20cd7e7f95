"""The defect atlas: what was rejected or doubted lately, laid out so that similar images lie together, in groups.

Latents are measured in standard deviations of what passed and turned onto their principal axes; two of them are
the map, the first sixteen describe an image to HDBSCAN, which finds groups without being told how many, or none.
Groups that nobody has named come first: that is where a new kind of defect shows.

Shape legend: N images, Z = 128 latents, C components.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from waferlens.records import DecisionKind, FloatArray
from waferlens.storage.database import Database
from waferlens.storage.reviewed import AtlasImage, atlas_images, passed_latents

LEAST_IMAGES = 5
"""Fewer images are no group."""

NO_GROUP = -1
_MOST_IMAGES, _NORMALS, _COMPONENTS = 2_000, 1_000, 16


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An image on the map; x and y in [-1, 1]. group: its number, or NO_GROUP."""

    image: AtlasImage
    x: float
    y: float
    group: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images that lie together, the nearest to their middle first.

    classes: how many bear each class; num_unnamed: how many bear none though they are not normal. first_ms,
    last_ms: arrivals. num_wafers that it is on.
    """

    number: int
    inspection_ids: tuple[str, ...]
    classes: dict[str, int]
    num_unnamed: int
    num_wafers: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, kw_only=True)
class AtlasMap:
    """The map and its groups, those that nobody has named first, then the larger. why_no_groups: or empty."""

    placed: tuple[Placed, ...]
    groups: tuple[Group, ...]
    why_no_groups: str = ""


class Atlas:
    """Draws the map of a model's images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def map_of(self, model_version: str, *, since_ms: int) -> AtlasMap:
        """The newest 2,000 images of a model since a moment. Raises DatabaseLost."""
        with self._database.reading() as connection:
            images = atlas_images(connection, model_version, since_ms=since_ms, limit=_MOST_IMAGES)
            normals = passed_latents(connection, model_version, limit=_NORMALS)
        return map_of(images, _matrix(normals))


def map_of(images: list[AtlasImage], normals: FloatArray) -> AtlasMap:
    """The map of some images. normals: (M, Z) latents of what passed, to measure in; may be empty."""
    if not images:
        return AtlasMap(placed=(), groups=(), why_no_groups="Nothing was rejected or doubted.")
    axes = principal_axes(_matrix([image.latent for image in images]), normals)
    flat = _flat(axes)
    if len(images) < LEAST_IMAGES:
        numbers, why = np.full(len(images), NO_GROUP), f"A group takes {LEAST_IMAGES} images."
    else:
        numbers, why = _group_numbers(axes), ""
    placed = tuple(
        Placed(image=image, x=float(x), y=float(y), group=int(number))
        for image, (x, y), number in zip(images, flat, numbers, strict=True)
    )
    groups = [_group(number, placed, axes) for number in sorted(set(numbers.tolist()) - {NO_GROUP})]
    if not groups and not why:
        why = "No images lie close enough together."
    first_unnamed = sorted(groups, key=lambda group: (-_unnamed_share(group), -len(group.inspection_ids)))
    return AtlasMap(placed=placed, groups=tuple(first_unnamed), why_no_groups=why)


def principal_axes(latents: FloatArray, normals: FloatArray) -> FloatArray:
    """(N, Z) latents to (N, C), in deviations of normal images, the widest axis first; at least two columns.

    A column in which normals hardly vary is not blown up: a twentieth of the widest deviation is the least. Axes
    are those of directions from the median, each image with the same weight (spherical components of Locantore et
    al., Test 8, 1999): else one image far out would be an axis of its own.
    """
    like = normals if len(normals) >= 2 else latents
    spread = like.std(axis=0)
    scaled = (latents - like.mean(axis=0)) / np.maximum(spread, max(0.05 * float(spread.max()), 1e-12))
    middle = scaled - np.median(scaled, axis=0)
    lengths = np.linalg.norm(middle, axis=1, keepdims=True)
    _, _, directions = np.linalg.svd(middle / np.maximum(lengths, 1e-12), full_matrices=False)
    axes = middle @ directions[:_COMPONENTS].T
    # The sign of an axis is free: the farthest image lies to the right, so that a map does not turn over by
    # itself.
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    turned = axes * np.where(signs == 0, 1, signs)
    missing = max(0, 2 - turned.shape[1])
    return np.asarray(np.pad(turned, ((0, 0), (0, missing))), dtype=np.float32)


def _flat(axes: FloatArray) -> FloatArray:
    """(N, C) to places (N, 2) in [-1, 1]; logarithmic far out: one image does not press the others together."""
    scale = float(np.median(np.linalg.norm(axes[:, :2], axis=1)))
    pressed = np.arcsinh(axes[:, :2] / max(scale, 1e-12))
    return np.asarray(pressed / np.maximum(np.abs(pressed).max(), 1e-12), dtype=np.float32)


def _group_numbers(axes: FloatArray) -> npt.NDArray[np.int64]:
    from sklearn.cluster import HDBSCAN

    found: npt.NDArray[np.int64] = HDBSCAN(min_cluster_size=LEAST_IMAGES, copy=True).fit_predict(axes)
    return np.where(found < 0, NO_GROUP, found)


def _group(number: int, placed: tuple[Placed, ...], axes: FloatArray) -> Group:
    rows = [row for row, each in enumerate(placed) if each.group == number]
    images = [placed[row].image for row in rows]
    away = ((axes[rows] - axes[rows].mean(axis=0)) ** 2).sum(axis=1)
    # What people passed bears no class and needs none.
    named = Counter(image.defect_class for image in images if image.defect_class is not None)
    unnamed = sum(image.defect_class is None and image.disposition is not DecisionKind.PASS for image in images)
    return Group(
        number=number,
        inspection_ids=tuple(images[at].inspection_id for at in np.argsort(away, kind="stable")),
        classes=dict(named.most_common()),
        num_unnamed=unnamed,
        num_wafers=len({image.wafer_id for image in images}),
        first_ms=min(image.received_ms for image in images),
        last_ms=max(image.received_ms for image in images),
    )


def _unnamed_share(group: Group) -> float:
    return group.num_unnamed / len(group.inspection_ids)


def _matrix(latents: list[bytes]) -> FloatArray:
    if not latents:
        return np.zeros((0, 0), dtype=np.float32)
    return np.stack([np.frombuffer(latent, dtype="<f4") for latent in latents]).astype(np.float32)
