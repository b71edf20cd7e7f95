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
    ├── EngineError                      a runtime cannot load or run a bundle
    │   ├── ParityError                  an engine does not give the scores of the reference
    │   ├── EngineFailed                 inference of one image failed
    │   ├── DeadlineMissed               no inference came in time
    │   └── Overloaded                   the queue is full; refused before any work was done
    ├── StorageError                     the record cannot be written or read
    │   ├── DatabaseLost                 the database does not answer, is locked or is full
    │   ├── BlobStoreLost                the store of images does not answer or is full
    │   ├── RecordLost                   nothing here is durable: neither the record nor the journal
    │   ├── BlobMissing                  no blob of this name is stored
    │   └── DuplicateRequest             another inspection was stored under this idempotency key
    ├── AuditError                       the audit log is not what was written
    ├── DeliveryFailed                   a report did not get where it was to go
    ├── LifecycleError                   a model cannot become, or stay, what was asked
    │   ├── IllegalMove                  a rollout does not go from this state to that one
    │   ├── RegistryError                the model registry does not answer, or contradicts the record
    │   └── GateRefused                  a model, or what it would learn from, misses a threshold
    ├── RequestError                     what a caller asked for cannot be done
    │   ├── RequestTooLarge              the body is larger than the service accepts
    │   ├── RequestTooSlow               the body did not arrive in time
    │   ├── RequestUnsupported           the body is of a kind that is not accepted
    │   ├── NotFound                     there is nothing of this name
    │   └── Conflict                     it contradicts what is recorded
    └── AccessError                      the caller may not do this
        ├── NotAuthenticated             no key, or one that is not known
        │   └── SessionLocked            a person's session waits for the password again
        ├── NotAllowed                   the role does not include it
        └── TooManyAttempts              too many wrong passwords for this name; wait

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
    """Inference of one image failed."""


class DeadlineMissed(EngineError):
    """No inference came before the deadline."""


class Overloaded(EngineError):
    """The queue is full; the image was refused before any work was done on it."""


class StorageError(WaferlensError):
    """The record cannot be written or read."""


class DatabaseLost(StorageError):
    """The database does not answer, is locked or is full."""


class BlobStoreLost(StorageError):
    """The store of images does not answer or is full."""


class RecordLost(StorageError):
    """Nothing here is durable: neither the record nor the journal could be written."""


class BlobMissing(StorageError):
    """No blob of this name is stored."""


class DuplicateRequest(StorageError):
    """Another inspection was stored under this idempotency key."""


class AuditError(WaferlensError):
    """The audit log is not what was written."""


class DeliveryFailed(WaferlensError):
    """A report did not get where it was to go."""


class LifecycleError(WaferlensError):
    """A model cannot become, or stay, what was asked."""


class IllegalMove(LifecycleError):
    """A rollout does not go from this state to that one."""


class RegistryError(LifecycleError):
    """The model registry does not answer, or contradicts the record."""


class GateRefused(LifecycleError):
    """A model, or the data that it would learn from, misses a threshold."""


class RequestError(WaferlensError):
    """What a caller asked for cannot be done."""


class RequestTooLarge(RequestError):
    """The body is larger than the service accepts."""


class RequestTooSlow(RequestError):
    """The body did not arrive in time."""


class RequestUnsupported(RequestError):
    """The body is of a kind that is not accepted."""


class NotFound(RequestError):
    """There is nothing of this name."""


class Conflict(RequestError):
    """It contradicts what is recorded."""


class AccessError(WaferlensError):
    """The caller may not do this."""


class NotAuthenticated(AccessError):
    """No key, or one that is not known."""


class SessionLocked(NotAuthenticated):
    """A person's session is locked until the password is given again."""


class NotAllowed(AccessError):
    """The caller's role does not include this."""


class TooManyAttempts(AccessError):
    """Too many wrong passwords for this name; the next one is looked at later."""
