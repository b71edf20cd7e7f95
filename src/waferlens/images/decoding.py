"""A checked file to its stored samples: TIFF by ``tiff_pixels``, the others by Pillow, whatever it raises
made clear.

Only what ``formats`` has checked comes here: one upright image of an accepted size.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from waferlens.errors import ImageContentError, ImageError, ImageFormatError, ImageSizeError
from waferlens.images.containers import jpeg, tiff
from waferlens.images.containers.header import Header
from waferlens.images.containers.tiff_pixels import decode_tiff


def decode_samples(header: Header, label: str) -> npt.NDArray[np.generic]:
    """The stored samples as (height, width): bool, uint8, uint16 or float32, colour already luminance.

    Whatever the decoder raises becomes an ImageError; a torn file is never filled up.
    """
    try:
        image = _open(header)
        if header.palette or header.transparency or header.channels in (2, 4):
            image = _opaque(image, label)
        if image.mode in ("RGB", "P"):
            image = image.convert("L")
        samples = np.array(image)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageSizeError(
            f"{label}: not enough memory to decode", found=f"{header.width}x{header.height} pixels"
        ) from error
    except Exception as error:  # decoders raise anything: OSError, SyntaxError, struct.error, EOFError...
        raise ImageFormatError(
            f"{label}: {header.format} cannot be decoded", expected="a whole image", found=one_line(error)
        ) from error
    if samples.shape != (header.height, header.width):
        raise ImageFormatError(
            f"{label}: {header.format} does not hold what its header says",
            expected=f"{header.height}x{header.width} grey pixels",
            found=f"an array of shape {samples.shape}",
        )
    return samples


def _open(header: Header) -> Image.Image:
    if isinstance(header, tiff.TiffHeader):
        return Image.fromarray(decode_tiff(header))
    image = _decoded(header.payload, header.format)
    if (
        header.format == "JPEG"
        and image.tobytes() != _decoded(jpeg.with_more_data(header.payload), "JPEG").tobytes()
    ):
        raise ValueError("the pixel data ends before the image does")
    return image


def _decoded(payload: bytes, kind: str) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(payload), formats=[kind])
    image.load()
    return image


def _opaque(image: Image.Image, label: str) -> Image.Image:
    """The image without its alpha channel or palette; transparent pixels have no defined value."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        lowest = image.getchannel("A").getextrema()[0]
        if lowest != 255:
            raise ImageContentError(
                f"{label}: image has transparent pixels",
                expected="alpha 255",
                found=f"alpha down to {lowest}",
            )
    return image.convert("RGB")


def one_line(error: Exception) -> str:
    """An exception of any library as one short line."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:160]}"
