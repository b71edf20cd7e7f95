"""What the tests of the command line share: the command, what it left behind, a recipe that trains in seconds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("waferlens")
SEED = "3"
RECIPE = """
name = "tiny"

[network]
kind = "pixel-vae"
channels = [4, 4, 8, 8]
bottleneck_channels = 4

[discriminator]
width = 4
trunk = 8

[damage]
num_images = 32
epochs = 2

[training]
epochs = {epochs}
batch_size = 8
min_epoch_images = 32
kl_anneal_epochs = 1
devices = {devices}
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The only line of a command that failed: no traceback, nothing beside it but progress."""
        told = [line for line in self.err.splitlines() if not line.startswith("·")]
        assert self.code == 1, self.err
        assert len(told) == 1, self.err
        assert told[0].startswith("error: ")
        return told[0]


def write_recipe(path: Path, *, epochs: int = 2, devices: int = 1) -> Path:
    path.write_text(RECIPE.format(epochs=epochs, devices=devices), encoding="utf-8")
    return path
