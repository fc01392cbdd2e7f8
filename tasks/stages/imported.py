"""A dataset that was imported from the original project's files: stages that take the place of the usual ones.

    data_img.h5 ──────► ImportFeatures      for ExtractFeatures
    data_prepro.json ─► ImportVocabulary    for BuildVocabulary
    data_prepro.h5 ───► ImportQuestions, ImportAnswers    for EncodeQuestions, EncodeAnswers

Their artifacts have the usual form, so training, prediction and evaluation do not differ.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError
from data.base.hashes import file_identity
from data.catalog import entries, sources
from tasks.contract.stage import Stage
from tasks.setup import flags, settings
from tasks.setup.user_errors import refuse
from tasks.stages.download_texts import annotations_of
from tasks.stages.extract import ExtractFeatures
from tasks.stages.text import BuildVocabulary, EncodeAnswers, EncodeQuestions

if TYPE_CHECKING:
    from data.seed_files.write_seed_files import Half, Names

HALF = {"train": "train", "val": "test"}  # what the original calls our splits


def imported_catalog() -> Path:
    """Where `python -m pipeline import` keeps what it has registered."""
    return settings.artifacts_folder() / "imported.toml"


def add_imported() -> None:
    """Put what was imported beside the catalog."""
    if os.path.isfile(imported_catalog()):
        sources.add(imported_catalog())


class _Imported(Stage):
    """What the stages of this file share."""

    dataset = flags.DATASET

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        ready_made = sources.dataset(values["dataset"]).ready_made
        if ready_made is None:
            refuse(f"--dataset {values['dataset']} was not imported (python -m pipeline import --from ZIP)")
        if not ready_made.path.exists():
            refuse(f"{values['dataset']}: {ready_made.path} is gone; import it again from where it is now")

    def inputs(self) -> dict[str, Stage]:
        return {"files": self.clone(ImportFiles)}

    @contextmanager
    def open(self, name: str, folder: Path) -> Iterator[Path]:
        """One of the three files, for as long as it is read."""
        from data.seed_files.read_seed_files import opened

        files = self.upstream["files"]
        assert isinstance(files, ImportFiles)
        with opened(files.target, name, folder) as path:
            yield path

    def names(self, folder: Path) -> Names:
        from data.seed_files.read_seed_files import read_names
        from data.seed_files.write_seed_files import NAMES

        with self.open(NAMES, folder) as path:
            return read_names(path)

    def half(self, folder: Path, split: str, names: Names) -> Half:
        from data.seed_files.read_seed_files import read_half
        from data.seed_files.write_seed_files import ARRAYS

        with self.open(ARRAYS, folder) as path:
            return read_half(path, HALF[split], names)


class ImportFiles(_Imported):
    """Links to the original project's three files, in a zip or a folder, where they lie."""

    contents = ("*.zip", *entries.SEED_FILES)

    def inputs(self) -> dict[str, Stage]:
        return {}

    def identity(self) -> dict[str, Any]:
        """The zip's sha256, or one over those of the three files."""
        try:
            return {"files": self.sha256}
        except DataError as error:  # as in tasks.stages.download
            refuse(f"{self.dataset}: {error}")

    @property
    def sha256(self) -> str:
        known, path = settings.artifacts_folder() / ".identities.json", self.source
        if not path.is_dir():
            with self.hashing() as progress:
                return file_identity(path, known, progress)
        with self.hashing() as progress:
            hashes = [[name, file_identity(path / name, known, progress)] for name in entries.SEED_FILES]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()

    @property
    def source(self) -> Path:
        ready_made = sources.dataset(self.dataset).ready_made
        assert ready_made is not None  # check_flags
        return ready_made.path

    @property
    def target(self) -> Path:
        """The link to the zip, or the folder of links."""
        return self.path if self.source.is_dir() else self.path / self.source.name

    def build(self, folder: Path) -> dict[str, Any]:
        source = self.source.resolve()
        for path in [source / name for name in entries.SEED_FILES] if source.is_dir() else [source]:
            (folder / path.name).symlink_to(path)
        return {"from": str(source)}


class ImportFeatures(_Imported):
    """Turns a half's float32 rows into a features.h5, with COCO's ids where the names tell them."""

    replaces = ExtractFeatures
    named_by = ("dataset", "split")
    contents = ("features.h5",)
    unit = "pictures"
    split = flags.SPLIT

    def build(self, folder: Path) -> dict[str, Any]:
        from data.pictures.feature_file import write_features
        from data.seed_files.read_seed_files import feature_blocks, pictures
        from data.seed_files.write_seed_files import IMAGES

        names, half = self.names(folder), HALF[self.split]
        files = self.upstream["files"]
        assert isinstance(files, ImportFiles)
        about = dict.fromkeys(("backbone", "layer", "transform"), f"as in {IMAGES}")
        with self.open(IMAGES, folder) as path:
            contents = pictures(path, half, names)
            blocks = feature_blocks(path, half, names, self.progress)
            write_features(
                folder / "features.h5",
                blocks,
                contents.image_ids,
                contents.image_names,
                (contents.columns,),
                about | {"weights": files.sha256},
            )
        return {
            "pictures": len(contents.image_ids),
            "shape": [contents.columns],
            "bad_images": [],
            "image_ids": "COCO's numbers" if contents.coco else "1..N as in the file",
        }


class ImportVocabulary(_Imported):
    """Takes over the words and the answer classes, with their counts in the training half."""

    replaces = BuildVocabulary
    contents = ("vocabulary.json",)

    def build(self, folder: Path) -> dict[str, Any]:
        import numpy as np

        from data.text.questions import Vocabulary

        names = self.names(folder)
        train = self.half(folder, "train", names)
        assert train.answers is not None  # the training half has them
        words = np.bincount(train.tokens.ravel(), minlength=len(names.words) + 2)[1:-1]
        answers = np.bincount(train.answers, minlength=len(names.answers))
        count = len(train.tokens)  # the files have only what was kept
        vocabulary = Vocabulary(
            names.words, tuple(words.tolist()), names.answers, tuple(answers.tolist()), count, count
        )
        (folder / "vocabulary.json").write_text(vocabulary.to_json(), encoding="utf-8")
        return {
            "words": len(names.words),
            "answers": len(names.answers),
            "questions": count,
            "kept_questions": count,
        }


class ImportQuestions(_Imported):
    """Takes over a half's questions: the same word ids, with the zeros on the left."""

    replaces = EncodeQuestions
    named_by = ("dataset", "split")
    contents = ("questions.h5",)
    split = flags.SPLIT

    def build(self, folder: Path) -> dict[str, Any]:
        from data.seed_files.read_seed_files import picture_ids
        from data.text.questions import EncodedQuestions, write_encoded

        names = self.names(folder)
        half = self.half(folder, self.split, names)
        ids, _ = picture_ids(names.images[HALF[self.split]])
        encoded = EncodedQuestions(half.tokens, half.lengths, half.question_ids, ids[half.rows])
        write_encoded(folder / "questions.h5", encoded)
        return {"questions": len(half.question_ids)}


class ImportAnswers(_Imported):
    """Takes over the consensus answers of training; those of val come from the official annotations by question id."""

    replaces = EncodeAnswers
    named_by = ("dataset", "split")
    contents = ("answers.h5",)
    split = flags.SPLIT

    def inputs(self) -> dict[str, Stage]:
        needs = super().inputs()
        if self.split == "val":
            needs["vocabulary"] = self.clone(ImportVocabulary)
            needs["annotations"] = annotations_of(self, self.split)
        return needs

    def build(self, folder: Path) -> dict[str, Any]:
        from data.text.answers import write_answers

        names = self.names(folder)
        half = self.half(folder, self.split, names)
        encoded = self._annotated(half) if half.answers is None else self._trained(half, len(names.answers))
        write_answers(folder / "answers.h5", encoded)
        return {"questions": len(half.tokens), "outside_classes": int((encoded.consensus < 0).sum())}

    def _trained(self, half: Half, classes: int) -> Any:
        """The consensus answer and nothing else: the files hold no ten answers."""
        import numpy as np

        from data.text.answers import NO_HUMAN, EncodedAnswers

        nobody = np.full((len(half.tokens), 1), NO_HUMAN, np.int32)
        scores = np.zeros(nobody.shape, np.float32)
        assert half.answers is not None
        return EncodedAnswers(half.answers, nobody, half.question_ids, nobody, scores, classes)

    def _annotated(self, half: Half) -> Any:
        from data.text.answers import encode_answers
        from data.text.official_json import read_annotations
        from data.text.questions import Vocabulary

        dataset = sources.dataset(self.dataset)
        source = dataset.split(self.split)
        assert source.annotations is not None
        path = self.file("annotations", source.annotations.file)
        annotations = read_annotations(path, source.annotations_member, own_data=dataset.humans is None)
        by_id = {annotation.question_id: annotation for annotation in annotations}
        ids = half.question_ids.tolist()
        if missing := [number for number in ids if number not in by_id]:
            raise DataError(
                f"{len(missing):,} of {len(ids):,} questions in the imported files have no annotation in {path} "
                f"(question_id {missing[0]}, ...). They belong to another dataset: name it with "
                "`python -m pipeline import --annotations`."
            )
        text = self.file("vocabulary", "vocabulary.json").read_text(encoding="utf-8")
        return encode_answers([by_id[number] for number in ids], Vocabulary.from_json(text))
