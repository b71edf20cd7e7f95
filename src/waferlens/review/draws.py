"""Draws that anybody with the record's secret can repeat and nobody without it can foresee.

A draw is a keyed hash (HMAC-SHA-256) of what it is for and what it is about; there is no generator and no state.
The same inspection is always drawn alike, and a larger share takes what the smaller one took and more.
"""

from __future__ import annotations

import hmac

SECRET_BYTES = 32
_BITS = 64


class Draws:
    """Draws of one record."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def number(self, purpose: str, *about: str) -> float:
        """In [0, 1), as if evenly drawn."""
        return int(self.name(purpose, *about)[: _BITS // 4], 16) / float(2**_BITS)

    def chosen(self, share: float, purpose: str, *about: str) -> bool:
        """Whether it is among this share."""
        return self.number(purpose, *about) < share

    def name(self, purpose: str, *about: str) -> str:
        """64 hex digits that tell nothing of what they are about."""
        parts = (part.encode() for part in (purpose, *about))
        told = b"".join(b"%d:%s" % (len(part), part) for part in parts)
        return hmac.digest(self._secret, told, "sha256").hex()
