"""How image files become canonical pixels: the part of a recipe that this chapter reads.

Knows nothing of detectors, and nothing of intensity normalisation, which is part of the detector's graph.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, field_validator

from waferlens.records import IMAGE_SIZE

BitDepth = Literal["container", 8, 12, 16]
Crop = Literal["none", "centre-square"] | tuple[int, int]


class ImageOptions(BaseModel, frozen=True, extra="forbid"):
    """What is accepted and how it is brought to 256x256. Defaults accept any square 8- or 16-bit image."""

    bit_depth: BitDepth = Field(
        default="container",
        description="bits a sample: container (the file's own 8 or 16), 8, 12 (stored in 16) or 16",
    )
    crop: Crop = Field(
        default="none",
        description="cut before resizing: none, centre-square, or (height, width) about the centre, pixels",
    )
    resize: bool = Field(default=True, description="average areas down to 256x256; False refuses every other size")
    max_pixels: int = Field(
        default=64_000_000,
        ge=IMAGE_SIZE * IMAGE_SIZE,
        le=89_000_000,
        description="largest width x height that is decoded, in pixels; read from the header before decoding",
    )
    min_side: int = Field(default=64, ge=1, description="smallest width and height accepted, in pixels")
    roi: str | None = Field(
        default=None,
        description="path of a mask image: non-zero where the surface is judged; None judges all",
    )

    @field_validator("crop")
    @classmethod
    def _crop_is_positive(cls, crop: Crop) -> Crop:
        if isinstance(crop, tuple) and min(crop) < 1:
            raise ValueError(f"crop must be at least 1 pixel high and wide, found {crop}")
        return crop

    def decoding_key(self) -> dict[str, object]:
        """The options that change pixels, for the key of a cache. ``roi`` does not."""
        return self.model_dump(mode="json", exclude={"roi"})
