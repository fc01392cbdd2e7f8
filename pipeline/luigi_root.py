"""Checks between the reading of Luigi's command line and the first stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser

from pipeline import device_check
from pipeline.commands.plan import planned_steps
from pipeline.outcome import outcome
from tasks.contract.stage import Stage
from tasks.setup import logs


def install() -> None:
    """Check the root on the command line before Luigi schedules it, for the rest of this process."""
    make = CmdlineParser.get_task_obj

    def checked(parser: Any) -> luigi.Task:
        root = make(parser)
        device_check.check(_to_run(root))
        logs.end_with(lambda: outcome(root))
        return root

    CmdlineParser.get_task_obj = checked


def _to_run(root: Any) -> Iterator[Stage]:
    """Only found when needed: a plan looks at every artifact."""
    for step in planned_steps(root):
        if step.action == "run":
            yield step.stage
