"""What an extraction is: pictures, backbone, layers and weights, and the arithmetic that changes bits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.pictures.image_sets import Images


CODE_VERSION = 3
"""Raised when a change here or in models/ changes the bits of a row: shards of older code are left aside."""

SHARD = 256
"""Pictures in a shard: less than a minute of VGG-16 on two cores, and a multiple of every usual batch."""


@dataclass(frozen=True)
class Extraction:
    """What to extract and where unfinished work lies; pickles to every process that takes part.

    layers: one or several, none twice; each gets a file of its own.
    weights: random:SEED or a file's path; weights_id: what the feature file says about them (random:SEED or a
    sha256). work: a folder for this extraction alone; its name holds the stage's fingerprint. device and
    precision: auto or a name; threads and batch: 0 is what suits the device. These four, and the number of
    pictures in a shard, change no more than a row's last bits. image_size: None is the backbone's own.
    """

    images: Images
    backbone: str
    layers: tuple[str, ...]
    weights: str
    weights_id: str
    work: Path
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    batch: int = 0
    shard: int = SHARD
    image_size: int | None = None

    def shards(self) -> int:
        """How many shards there are."""
        return -(-len(self.images.ids) // self.shard)

    def rows(self, shard: int) -> range:
        """The rows of `images` that a shard has."""
        return range(shard * self.shard, min((shard + 1) * self.shard, len(self.images.ids)))

    def ids(self, shard: int) -> list[int]:
        """The image ids of a shard."""
        rows = self.rows(shard)
        ids: list[int] = self.images.ids[rows.start : rows.stop].tolist()
        return ids


@dataclass(frozen=True)
class Arithmetic:
    """Everything that may change a row's last bits: shards made under different settings are never merged."""

    device: str  # cpu or cuda
    processor: str
    precision: str
    batch: int
    threads: int  # 0 on a GPU, where they change nothing
    shard: int
    torch: str
    torchvision: str
    cudnn: int = 0  # on a CPU
    code: int = CODE_VERSION

    def folder(self, work: Path) -> Path:
        """Where the shards made under these settings lie."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return work / f"{self.device}-{self.precision}-{digest[:16]}"

    def features(self, work: Path, layer: str) -> Path:
        """Where a layer's unfinished features.h5 lies: in a folder with nothing else, which becomes the artifact."""
        return self.folder(work) / layer / "artifact" / "features.h5"
