"""What an extraction is: pictures, backbone, layer and weights, and the arithmetic that changes bits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.pictures.image_sets import Images


CODE_VERSION = 1
"""Raised when a change here or in models/ changes the bits of a row: shards of older code are left aside."""

SHARD = 256
"""Pictures in a shard: less than a minute of VGG-16 on two cores, and a multiple of every usual batch."""


@dataclass(frozen=True)
class Extraction:
    """What to extract and where unfinished work lies; pickles to every process that takes part.

    weights: random:SEED or a file's path; weights_id: what the feature file says of them (random:SEED or a
    sha256). work: a folder of this extraction's own; its name holds the stage's fingerprint. device and
    precision: auto or a name; threads and batch: 0 is what suits the device. These four, and the number of
    pictures in a shard, change no more than a row's last bits.
    """

    images: Images
    backbone: str
    layer: str
    weights: str
    weights_id: str
    work: Path
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    batch: int = 0
    shard: int = SHARD

    def shards(self) -> int:
        """How many shards there are."""
        return -(-len(self.images.ids) // self.shard)

    def rows(self, shard: int) -> range:
        """The rows of `images` that a shard has."""
        return range(shard * self.shard, min((shard + 1) * self.shard, len(self.images.ids)))

    def ids(self, shard: int) -> list[int]:
        """The image ids of a shard."""
        rows = self.rows(shard)
        found: list[int] = self.images.ids[rows.start : rows.stop].tolist()
        return found


@dataclass(frozen=True)
class Arithmetic:
    """All that may change a row's last bits: shards made under different settings are never merged."""

    device: str  # cpu or cuda
    processor: str
    precision: str
    batch: int
    threads: int  # 0 on a GPU, where they change nothing
    shard: int
    torch: str
    torchvision: str
    code: int = CODE_VERSION

    def folder(self, work: Path) -> Path:
        """Where the shards made under these settings lie."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return work / f"{self.device}-{self.precision}-{digest[:16]}"
