"""The files of vqa-v2 as a rehearsal serves them, made up at their real sizes, and a catalog that pins these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.big_zip import BigZip
from bench.generate import write_split
from bench.rehearsal_server import OnDisk, Served
from data.base.hashes import sha256_file
from data.catalog import sources

DATASET = "vqa-v2"
BACKBONE = "resnet50"


@dataclass
class MadeUp:
    """`served`: the files by their names. `pins`: what the catalog says of each instead, by the name it had there."""

    served: dict[str, Served] = field(default_factory=dict)
    pins: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, file: Served, name: str, called: str = "", **facts: object) -> None:
        self.served[called or name] = file
        pinned = {"file": called or name, "bytes": file.size, "sha256": file.sha256}
        self.pins[name] = pinned | {"sha256_prefix": file.sha256[:8]} | facts

    def catalog(self, url: str) -> str:
        """The project's catalog with one address for all, and with these files' sizes, counts and hashes."""
        text = sources.CATALOG.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^(bases|pictures) = \[.*\]$", rf'\1 = ["{url}"]', text)
        return "".join(self._pinned(table) for table in re.split(r"(?m)^(?=\[)", text))

    def _pinned(self, table: str) -> str:
        name = re.search(r'(?m)^file = "(.+)"$', table)
        facts: Mapping[str, object] = self.pins.get(name[1], {}) if name else {}
        for key, value in facts.items():
            table = re.sub(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", table)
        return table


def make_files(folder: Path, scale: float) -> MadeUp:
    """Both zips of pictures, their questions and annotations, and weights. scale: 0.01 for a hundredth of each."""
    made = MadeUp()
    for split in ("train", "val"):
        _add_split(made, folder, split, scale)
    _add_weights(made, folder)
    return made


def _add_split(made: MadeUp, folder: Path, name: str, scale: float) -> None:
    split = sources.dataset(DATASET).split(name)
    images, questions = sources.image_set(split.image_set), int((split.question_count or 0) * scale)
    assert split.annotations and images.images and images.source.bytes
    ids = write_split(folder, DATASET, name, questions, pictures=int(images.images * scale))
    made.add(_on_disk(folder / split.questions.file), split.questions.file, count=questions)
    made.add(_on_disk(folder / split.annotations.file), split.annotations.file)
    names = [f"{images.prefix}{image_id:012}.jpg" for image_id in ids]
    pictures = BigZip(images.name, names, int(images.source.bytes * scale))
    made.add(pictures, images.source.file, images=len(ids))
    print(
        f"made {questions:,} questions, {len(ids):,} pictures of {name}, {pictures.size:,} bytes", flush=True
    )


def _add_weights(made: MadeUp, folder: Path) -> None:
    """The network's own initialisation: as many bytes as pretrained weights have."""
    import torch
    import torchvision

    torch.manual_seed(0)
    path = folder / f"{BACKBONE}.pth"
    torch.save(torchvision.models.get_model(BACKBONE).state_dict(), path)
    file, known = _on_disk(path), sources.weights(BACKBONE).file
    made.add(file, known, called=f"{BACKBONE}-{file.sha256[:8]}.pth")
    print(f"made weights, {file.size:,} bytes", flush=True)


def _on_disk(path: Path) -> OnDisk:
    return OnDisk(path, sha256_file(path))
