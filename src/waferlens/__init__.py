"""waferlens: learns what a normal wafer surface looks like and shows where an image departs from it.

Public names are few and load on first use, so that ``import waferlens`` costs nothing:

    >>> from waferlens import Detector                              # doctest: +SKIP
    >>> Detector.load("bundles/demo").inspect(array).decision.kind  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waferlens.inspection.inspector import Inspector as Detector

__version__ = "0.1.0"
__all__ = ["Detector", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Detector":
        from waferlens.inspection.inspector import Inspector

        return Inspector
    raise AttributeError(f"module 'waferlens' has no attribute {name!r}")
