"""Where shards run: an engine by its name."""

from __future__ import annotations

from data.base.errors import DataError
from data.base.progress import Progress, silent
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.local_engine import run_local
from tasks.extraction.shard_files import missing_shards


def run_shards(
    extraction: Extraction,
    engine: str = "local",
    ray_address: str = "",
    progress: Progress = silent,
    checking: Progress = silent,
) -> Arithmetic:
    """Do every shard that is not done; gives the settings under which all of them lie finished.

    `progress` counts pictures that are done, `checking` those whose shards were looked at: finished ones are hashed.
    Raises DataError or ModelError with one message where a shard can't be done; the shards that were done are kept.
    """
    if engine == "local":
        settings = run_local(extraction, progress, checking)
    elif engine == "ray":
        from tasks.extraction.ray_engine import run_ray

        settings = run_ray(extraction, ray_address, progress, checking)
    else:
        raise DataError(f"[compute] engine = {engine}: expected local or ray.")
    left = missing_shards(extraction, settings, checking)
    if left:
        raise DataError(
            f"{settings.folder(extraction.work)}: {len(left)} shards were written and are not whole, such as "
            f"{left[:3]}. Is the disk failing, or does another program write there? Run the same again."
        )
    return settings
