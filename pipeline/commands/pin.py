"""`python -m pipeline sources --pin timm:NAME`: what the catalog has to say of a network's weights, from their hub."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from data.base.errors import DataError
from data.base.words import show
from data.catalog.entries import Source
from data.download.fetch import download
from models.backbones.names import TIMM, check_backbone, is_timm
from tasks.setup import settings
from tasks.setup.stage_progress import StageProgress

FILE = "model.safetensors"


def pin(name: str) -> int:
    """Fetch the weights that timm publishes for a network into the current folder; print their entry of the catalog."""
    if not is_timm(name):
        raise DataError(f"--pin {name}: takes one of timm's networks, such as timm:resnet18.a1_in1k")
    check_backbone(name)
    from models.backbones.timm_networks import configuration

    about = configuration(name)
    if not about.get("hf_hub_id"):
        raise DataError(f"--pin {name}: timm knows no weights of it on the hub; names with a tag have some")
    source = _published(name, str(about["hf_hub_id"]), str(about.get("license") or "not stated"))
    out, progress = Path(f"{name.removeprefix(TIMM)}.safetensors"), StageProgress(None, "sources", "bytes")
    try:
        room = settings.artifacts_folder() / ".work" / "pinned"
        fetched = download(source, out, part_dir=room, progress=progress)
    finally:
        progress.close()
    show(
        f"{out}: {fetched.bytes:,} bytes, sha256 {fetched.sha256}, licence {source.licence}", file=sys.stderr
    )
    show("in a TOML file that [sources] datasets of luigi.cfg names, this pins it:", file=sys.stderr)
    show(
        f'[weights."{name}"]',
        f'urls = ["{source.urls[0]}"]',
        f'file = "{out}"',
        f"bytes = {fetched.bytes}",
        f'sha256 = "{fetched.sha256}"',
        f'licence = "{source.licence}"',
    )
    return 0


def _published(name: str, repository: str, licence: str) -> Source:
    """The file as the hub has it now, by its commit: that address will give the same bytes for ever."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        known = get_hf_file_metadata(hf_hub_url(repository, FILE))
    except (
        HfHubHTTPError,
        OSError,
        ValueError,
    ) as error:  # its HTTP library's errors are OSErrors, or the first
        raise DataError(f"{name}: the hub does not have {repository}/{FILE}: {_first_line(error)}") from error
    if not known.commit_hash:
        raise DataError(f"{name}: {known.location} states no commit; expected the Hugging Face hub")
    sha256 = known.etag if known.etag and re.fullmatch("[0-9a-f]{64}", known.etag) else None
    url = hf_hub_url(repository, FILE, revision=known.commit_hash)
    return Source(f"{name} weights", FILE, (url,), sha256, bytes=known.size, licence=licence)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
