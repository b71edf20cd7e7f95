"""The exception tree. Knows nothing of where an error came from or how it will be shown.

    WaferlensError                       everything this package raises on purpose
    ├── ImageError                       one image cannot be used
    │   ├── ImageFormatError             the bytes are not a readable PNG, TIFF, JPEG or BMP
    │   ├── ImageDepthError              the sample depth or colour model is not accepted
    │   ├── ImageSizeError               the width or height is not accepted
    │   └── ImageContentError            decoded, but the pixel values cannot be used (NaN, out of range)
    ├── DataError                        a data set cannot be used (layout, manifest, split, cache)
    │   └── DuplicateImageError          the same image stands on both sides of a split
    ├── OptionsError                     a recipe or an option is out of range or unknown
    ├── TrainingError                    training cannot go on
    │   └── NonFiniteLossError           the loss is NaN or infinite; nothing was stepped
    ├── MetricError                      a metric is not defined for this input (one class, no masks)
    ├── BundleError                      a bundle is missing, altered, or of an unknown version
    └── EngineError                      a runtime cannot load or run a bundle
        ├── ParityError                  an engine does not give the scores of the reference
        ├── EngineFailed                 an image was accepted for inference and no engine could answer it
        ├── DeadlineMissed               the answer did not come, or could not have come, in time
        └── Overloaded                   refused before any work: the images ahead would not leave time for it

Every message says what was wrong, what was expected and what was found.
"""

from __future__ import annotations


class WaferlensError(Exception):
    """Root of everything waferlens raises on purpose.

    Parameters
    ----------
    what: the thing that is wrong, as its user would name it.
    expected: what would have been right.
    found: what was there instead.
    """

    def __init__(self, what: str, *, expected: str | None = None, found: str | None = None) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        parts = [what]
        if expected is not None:
            parts.append(f"expected {expected}")
        if found is not None:
            parts.append(f"found {found}")
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword arguments, so that a worker process can hand the error back."""
        return _rebuild, (type(self), self.what, self.expected, self.found)


def _rebuild(kind: type[WaferlensError], what: str, expected: str | None, found: str | None) -> WaferlensError:
    return kind(what, expected=expected, found=found)


class ImageError(WaferlensError):
    """One image cannot be used."""


class ImageFormatError(ImageError):
    """The bytes are not a readable, single-page PNG, TIFF, JPEG or BMP."""


class ImageDepthError(ImageError):
    """The sample depth or the colour model is not accepted."""


class ImageSizeError(ImageError):
    """The width or height is not accepted by the recipe, or is bomb-sized."""


class ImageContentError(ImageError):
    """The file was decoded but its pixel values cannot be used."""


class DataError(WaferlensError):
    """A data set cannot be used."""


class DuplicateImageError(DataError):
    """The same image stands on both sides of a split."""


class OptionsError(WaferlensError):
    """A recipe or an option is out of range or unknown."""


class TrainingError(WaferlensError):
    """Training cannot go on."""


class NonFiniteLossError(TrainingError):
    """The loss is NaN or infinite; the optimiser was not stepped."""


class MetricError(WaferlensError):
    """A metric is not defined for this input."""


class BundleError(WaferlensError):
    """A bundle is missing, altered, or of an unknown version."""


class EngineError(WaferlensError):
    """A runtime cannot load or run a bundle."""


class ParityError(EngineError):
    """An engine does not reproduce the scores of the reference."""


class EngineFailed(EngineError):
    """No engine could answer this image; asking again may succeed."""


class DeadlineMissed(EngineError):
    """The answer did not come before the deadline, or even an idle engine could not have given it by then."""


class Overloaded(EngineError):
    """Refused before any work was done: the images that wait already would not leave time for this one."""
