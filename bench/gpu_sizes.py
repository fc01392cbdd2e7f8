"""How much each part of bench.gpu_check computes, where, and which modules it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NETWORK = ("torch", "numpy", "PIL", "torchvision")  # which imports PIL
SCRIPT = (*NETWORK, "h5py")
EXTRACTION = (*SCRIPT, "simplejpeg", "isal")
PREDICTION = ("torch", "numpy")
TRAINING = (*PREDICTION, "safetensors")


@dataclass(frozen=True)
class Sizes:
    """What is computed. batch: 0 is what suits the device; seconds: of a turn; rounds: at most, a clock ends them."""

    backbone: str = "vgg16"
    layer: str = "fc7"
    pictures: int = 512
    width: int = 640
    height: int = 480
    batch: int = 0
    shard: int = 256
    seconds: float = 4.0
    rounds: int = 7
    rows: int = 20_000  # of picture features
    grids: int = 1024  # pictures, for a model that attends
    channels: int = 2048
    questions: int = 200_000
    repeated: int = 10_240  # questions of a training that is done twice
    units: int = 0  # of a model that attends: its recipe's
    hidden: int = 512
    joint: int = 1024
    tests: str = "tests"


FULL = Sizes()
QUICK = Sizes(
    backbone="squeezenet1_1",
    layer="flatten",
    pictures=4,
    width=160,
    height=120,
    batch=2,
    shard=4,
    seconds=0.1,
    rounds=1,
    rows=64,
    grids=8,
    channels=8,
    questions=64,
    repeated=64,
    units=16,
    hidden=16,
    joint=32,
    tests="tests/models/training/test_optimisers.py",
)


@dataclass(frozen=True)
class Place:
    """Where a part works, and the moment on time.monotonic's clock after which it begins no further round."""

    device: str
    sizes: Sizes
    folder: Path
    until: float
