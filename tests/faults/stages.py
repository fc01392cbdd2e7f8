"""Stages that misbehave: `luigi --module faults.stages STAGE`, with tests/ on PYTHONPATH."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import luigi

import pipeline  # noqa: F401  (its settings and its logs)
from data.base.errors import DataError
from tasks.contract.stage import Stage


class Misbehaving(Stage):
    named_by = ("name",)
    name = luigi.Parameter(default="here")


class Fine(Misbehaving):
    """Nothing is wrong with it."""

    def build(self, folder: Path) -> dict[str, Any]:
        (folder / "fine.txt").write_text("fine\n")
        return {}


class Raises(Misbehaving):
    """Fails in the middle, in a way that is foreseen or not."""

    how = luigi.ChoiceParameter(choices=["foreseen", "unforeseen", "exit"])

    def build(self, folder: Path) -> dict[str, Any]:
        (folder / "half.txt").write_text("half\n")
        if self.how == "foreseen":
            raise DataError("questions.zip: found a pear, expected an apple; get another")
        if self.how == "exit":
            sys.exit("gone")
        return {"": 1 // 0}


class Hangs(Misbehaving):
    """Waits for ever, as does what it has started."""

    worker_timeout = 3

    def build(self, folder: Path) -> dict[str, Any]:
        (folder / "half.txt").write_text("half\n")
        time.sleep(3600)
        return {}


class After(Misbehaving):
    """Needs one that is fine and one that is not."""

    broken = luigi.Parameter()

    def inputs(self) -> dict[str, Stage]:
        bad: Stage = Hangs() if self.broken == "hangs" else Raises(how=self.broken)
        return {"bad": bad, "fine": Fine()}

    def build(self, folder: Path) -> dict[str, Any]:
        raise AssertionError("its input is not there")
