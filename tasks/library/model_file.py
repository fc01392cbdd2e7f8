"""A trained model as one file, to pass on: a zip of plain members, of which none is a pickle and none is run.

    model.json          format, name, flags, backbone with its weights' hash, accuracies, licences, the others' hashes
    model.safetensors   the classifier's weights     config.json   what they fit, and what they were trained with
    vocabulary.json     words and answers

The backbone's weights are not in it: they are large, and have a licence of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from data.base.errors import DataError, ModelError
from data.base.files import WEIGHTS_BYTES
from data.containers.archives import Archive
from tasks.library.examples import Examples
from tasks.library.model_origin import Judgement, View
from tasks.library.pretrained import check_hash, fetched_weights

if TYPE_CHECKING:
    from data.text.questions import Vocabulary
    from models.classifiers.interface import Classifier

FORMAT = 1
ABOUT, CONFIG, TENSORS, VOCABULARY = "model.json", "config.json", "model.safetensors", "vocabulary.json"
MEMBERS = {ABOUT: 1 << 20, CONFIG: 1 << 20, VOCABULARY: 1 << 28, TENSORS: WEIGHTS_BYTES}
"""The members, and the most bytes of each."""


BackboneName = Annotated[str, msgspec.Meta(pattern=r"^(timm:)?[\w.-]+$")]
"""timm would ask a server for a name with a colon in it."""
ImageSize = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class BackboneOfFile(msgspec.Struct):
    """The network that made the features. weights: pretrained, random:SEED or file; sha256: of the file, or ""."""

    name: BackboneName
    layer: str
    weights: str
    image_size: ImageSize | None = None
    file: str = ""
    sha256: str = ""


class About(msgspec.Struct):
    """What model.json says."""

    format: int
    made_by: str
    name: str
    parameters: dict[str, Any]
    accuracies: list[Judgement]
    licences: dict[str, str]
    sha256: dict[str, str]  # of the other members, by name: those of two models are not mixed
    backbone: BackboneOfFile | None = None


class _Version(msgspec.Struct):
    format: int


@dataclass(frozen=True)
class ModelFile:
    """The model of a file; see Origin."""

    path: Path
    archive: Archive
    about: About

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.about.parameters

    def read(self) -> tuple[Classifier, dict[str, Any], Vocabulary]:
        from data.text.questions import Vocabulary
        from models.checkpoints import model_of

        text = self._member(VOCABULARY).decode("utf-8", "replace")
        try:
            vocabulary = Vocabulary.from_json(text)
            classifier, config = model_of(self.path, self._member(CONFIG), self._member(TENSORS))
        except (DataError, ModelError) as error:
            raise DataError(f"{self.path}: not a usable model: {error}") from error
        self._check(config, vocabulary, classifier.sees_pictures)
        return classifier, config, vocabulary

    def _check(self, config: dict[str, Any], vocabulary: Vocabulary, sees_pictures: bool) -> None:
        """DataError where its members do not belong together."""
        from models.training.choices import TARGETS

        sizes = config["architecture"]["vocabulary"], config["architecture"]["answers"]
        here = vocabulary.size, len(vocabulary.answers)
        if sizes != here:
            raise DataError(
                f"{self.path}: {VOCABULARY} has {here[0]:,} words and {here[1]:,} answers, and {CONFIG} is of a model "
                f"for {sizes[0]:,} and {sizes[1]:,}; export it again"
            )
        if config["options"].get("target") not in list(TARGETS):  # a list, for it may be anything
            raise DataError(f"{self.path}: {CONFIG} has no target that this version knows; export it again")
        if sees_pictures and self.about.backbone is None:
            raise DataError(f"{self.path}: {ABOUT} names no backbone; export it again")

    def _member(self, name: str) -> bytes:
        content = self.archive.read(name, MEMBERS[name])
        stated, actual = self.about.sha256.get(name), sha256(content).hexdigest()
        if actual != stated:
            raise DataError(
                f"{self.path}: {name} has sha256 {actual}, and {ABOUT} is about one with {stated}; export it again"
            )
        return content

    def view(self) -> View:
        backbone = self.about.backbone
        if backbone is None:
            raise DataError(f"{self.path}: {ABOUT} names no backbone; export it again")
        return View(backbone.name, backbone.layer, backbone.image_size, self._weights(backbone))

    def _weights(self, backbone: BackboneOfFile) -> str:
        if backbone.weights.startswith("random:"):
            return backbone.weights
        if backbone.weights == "pretrained":
            return str(fetched_weights(backbone.name, backbone.sha256, str(self.path)))
        return str(self._own_weights(backbone))

    def _own_weights(self, backbone: BackboneOfFile) -> Path:
        """The user's own file of weights, which has to lie beside this one."""
        beside = self.path.parent / Path(backbone.file).name
        if not backbone.file or not beside.is_file():
            raise DataError(
                f"{self.path}: its pictures go through {backbone.name} with weights of its maker's own; put "
                f"{beside.name}, with sha256 {backbone.sha256}, beside it"
            )
        check_hash(beside, backbone.sha256, str(self.path))
        return beside

    def judgements(self) -> list[Judgement]:
        return self.about.accuracies

    def examples(self, count: int) -> Examples:
        return Examples()


def read_model_file(path: Path) -> ModelFile:
    """Look into a model file. DataError where it is damaged, of another version, or not such a file."""
    archive = Archive(path)
    _check_members(path, archive)
    try:
        content = archive.read(ABOUT, MEMBERS[ABOUT])
        version = msgspec.json.decode(content, type=_Version).format
        if version != FORMAT:
            raise DataError(
                f"{path}: a model file of format {version}; this version reads format {FORMAT}: use the version "
                "that wrote it, or export it again with this one"
            )
        about = msgspec.json.decode(content, type=About)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise DataError(
            f"{path}: {ABOUT} is not what export-model writes: {error}; export it again"
        ) from error
    if not isinstance(about.parameters.get("dataset"), str):
        raise DataError(f"{path}: {ABOUT} names no dataset; export it again")
    return ModelFile(path, archive, about)


def _check_members(path: Path, archive: Archive) -> None:
    """DataError unless these are the members of a model file, none packed: so none is larger than the file."""
    names = list(archive.names)
    if missing := [name for name in MEMBERS if name not in names]:
        raise DataError(
            f"{path}: not a model file, or not whole: lacks {', '.join(missing)}; expected what "
            "`python -m pipeline export-model` writes"
        )
    if others := [name for name in names if name not in MEMBERS]:
        raise DataError(
            f"{path}: refused because of {others[0]}: a model file has {', '.join(MEMBERS)} alone"
        )
    if len(names) > len(MEMBERS) or sum(map(archive.size, names)) > path.stat().st_size:
        raise DataError(
            f"{path}: refused: its members are packed or there twice; export-model stores each once"
        )
