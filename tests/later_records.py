"""Records as they will be when a field has joined them."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.classifiers.architecture import Architecture
from models.training.inputs import TrainingOptions


@dataclass(frozen=True)
class LaterOptions(TrainingOptions):
    momentum: float = field(default=0.9, metadata={"neutral": 0.0})


@dataclass(frozen=True)
class LaterArchitecture(Architecture):
    glimpses: int = field(default=2, metadata={"neutral": 1})
