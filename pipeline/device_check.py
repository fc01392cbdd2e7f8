"""A GPU that is requested and can't be there is reported before the first download, without importing torch."""

from __future__ import annotations

from collections.abc import Iterable

from models.gpu_presence import why_none
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.user_errors import refuse
from tasks.stages.extract import Extracting


def check(to_run: Iterable[Stage]) -> None:
    """Refuse where one of these stages would compute on a GPU of this machine that can't be there."""
    device = str(settings.get("compute", "device"))
    if why := why_none(device):
        for stage in to_run:
            if _computes_here(stage):
                refuse(f"[compute] device = {device}, for {stage.stage_name()}: {why}; or set device = auto")


def _computes_here(stage: Stage) -> bool:
    elsewhere = isinstance(stage, Extracting) and settings.get("compute", "engine") == "ray"
    return "device" in stage.resources and not elsewhere
