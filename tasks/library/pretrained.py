"""Published weights, fetched as a stage like any other."""

from __future__ import annotations

import sys
from pathlib import Path

import luigi

from data.base.errors import DataError
from data.base.words import show
from data.catalog import sources
from tasks.setup import failures
from tasks.setup.user_errors import StageError
from tasks.stages.download import DownloadWeights


def download_weights(backbone: str, mend: str) -> DownloadWeights:
    """The finished stage that has a backbone's published weights. StageError, which ends in `mend`, without them."""
    stage = DownloadWeights(backbone=backbone)
    if not stage.complete() and not luigi.build([stage], local_scheduler=True, log_level="WARNING"):
        failures.noted()  # logged; not the last line as well
        raise StageError(f"the weights of {backbone} could not be downloaded; {mend}")
    if licence := stage.source().restriction:
        show(f"the weights of {backbone} are under {licence}", file=sys.stderr)
    return stage


def fetched_weights(backbone: str, sha256: str, wanted_by: str) -> Path:
    """The file of a backbone's published weights that has this hash, fetched where it is not here.

    DataError where the catalog's are others: then nothing is fetched.
    """
    source = sources.weights(backbone)
    pinned = source.sha256 or source.sha256_prefix or ""
    if not sha256.startswith(pinned):
        raise DataError(
            f"{wanted_by}: needs weights of {backbone} with sha256 {sha256}, and the catalog here has others, "
            f"{source.file} with {pinned}; use the version that wrote it"
        )
    mend = f"run again when {source.file} can be had, or name a folder that has it as [sources] mirror in luigi.cfg"
    path = download_weights(backbone, mend).target
    check_hash(path, sha256, wanted_by)
    return path


def check_hash(path: Path, sha256: str, wanted_by: str) -> None:
    """DataError unless a file has this hash."""
    from data.base.hashes import sha256_file
    from data.download.local_copies import check_weights_file

    check_weights_file(path)
    if (actual := sha256_file(path)) != sha256:
        raise DataError(
            f"{path}: found sha256 {actual}; {wanted_by} was trained with {sha256}: get that file"
        )
