"""Where shards run: an engine by its name."""

from __future__ import annotations

from data.base.errors import DataError
from data.base.progress import Progress, silent
from tasks.extraction.finish import DamagedRows, Finished, finish
from tasks.extraction.job import Arithmetic, Extraction
from tasks.extraction.local_engine import run_local


def extract_features(
    extraction: Extraction,
    engine: str = "local",
    ray_address: str = "",
    max_bad_images: int = 0,
    progress: Progress = silent,
    checking: Progress = silent,
) -> tuple[Arithmetic, Finished]:
    """Do every shard that is not done; gives the settings in force and the finished file.

    `progress` counts pictures that are done, `checking` those whose rows were read again and hashed.
    Raises DataError or ModelError with one message where a shard can't be done; finished shards are kept.
    """
    settings = run_shards(extraction, engine, ray_address, progress)
    try:
        return settings, finish(extraction, settings, max_bad_images, checking)
    except DamagedRows:  # once: the disk has lost what an earlier run wrote
        settings = run_shards(extraction, engine, ray_address, progress)
        return settings, finish(extraction, settings, max_bad_images, checking)


def run_shards(
    extraction: Extraction, engine: str = "local", ray_address: str = "", progress: Progress = silent
) -> Arithmetic:
    """Do every shard that has no manifest; gives the settings under which all of them lie finished."""
    if engine == "local":
        return run_local(extraction, progress)
    if engine == "ray":
        from tasks.extraction.ray_engine import run_ray

        return run_ray(extraction, ray_address, progress)
    raise DataError(f"[compute] engine = {engine}: expected local or ray.")
