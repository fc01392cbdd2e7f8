"""Questions, answers and word vectors as arrays."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.catalog import sources
from tasks.contract.stage import Stage
from tasks.setup import flags
from tasks.setup.flag_kinds import NO_GLOVE
from tasks.setup.flags import PartFlags
from tasks.setup.user_errors import refuse
from tasks.stages.download import DownloadGlove
from tasks.stages.download_texts import DownloadAnnotations, DownloadQuestions
from tasks.stages.part import ChoosePictures

if TYPE_CHECKING:
    from data.text.questions import Vocabulary

logger = logging.getLogger("luigi-interface")


class BuildVocabulary(PartFlags, Stage):
    """Counts the training split's words and consensus answers: ids for words, classes for answers."""

    named_by = ("dataset", "train_split")
    contents = ("vocabulary.json",)
    dataset = flags.DATASET
    train_split = flags.TRAIN_SPLIT
    answers = flags.ANSWERS

    def parts(self) -> tuple[str, ...]:
        return sources.dataset(self.dataset).parts(self.train_split)

    def inputs(self) -> dict[str, Stage]:
        questions = {f"asked-{part}": self.clone(DownloadQuestions, split=part) for part in self.parts()}
        answers = {
            f"annotations-{part}": self.clone(DownloadAnnotations, split=part) for part in self.parts()
        }
        return questions | answers | ChoosePictures.inputs_for(self, *self.parts())

    def build(self, folder: Path) -> dict[str, Any]:
        from data.text.questions import build_vocabulary

        questions, annotations = [], []
        for part in self.parts():
            questions += (of_part := split_questions(self, self.dataset, part))
            annotations += split_annotations(self, self.dataset, part, of_part)
        vocabulary = build_vocabulary(questions, annotations, self.answers)
        (folder / "vocabulary.json").write_text(vocabulary.to_json(), encoding="utf-8")
        logger.info(
            "%s: %s words, %s answer classes; %s of %s questions have a consensus answer among them",
            self.stage_name(),
            f"{len(vocabulary.words):,}",
            f"{len(vocabulary.answers):,}",
            f"{vocabulary.kept_questions:,}",
            f"{vocabulary.questions:,}",
        )
        return {
            "words": len(vocabulary.words),
            "answers": len(vocabulary.answers),
            "questions": vocabulary.questions,
            "kept_questions": vocabulary.kept_questions,
        }


class Encoding(PartFlags, Stage):
    """What the two encoders share: one split, in the words and classes of a training split."""

    named_by = ("dataset", "split")
    dataset = flags.DATASET
    split = flags.SPLIT
    train_split = flags.TRAIN_SPLIT
    answers = flags.ANSWERS

    def inputs(self) -> dict[str, Stage]:
        return {"vocabulary": self.clone(BuildVocabulary), **ChoosePictures.inputs_for(self, self.split)}

    def vocabulary(self) -> Vocabulary:
        return read_vocabulary(self)


class EncodeQuestions(Encoding):
    """Tokenises a split's questions into rows of 26 word ids, zeros on the left."""

    contents = ("questions.h5",)

    def inputs(self) -> dict[str, Stage]:
        return super().inputs() | {f"asked-{self.split}": self.clone(DownloadQuestions)}

    def build(self, folder: Path) -> dict[str, Any]:
        from data.text.questions import encode, write_encoded

        encoded = encode(split_questions(self, self.dataset, self.split), self.vocabulary())
        write_encoded(folder / "questions.h5", encoded)
        return {"questions": len(encoded.question_ids)}


class EncodeAnswers(Encoding):
    """Turns a split's consensus answers, human answers and their official scores into classes."""

    contents = ("answers.h5",)

    def inputs(self) -> dict[str, Stage]:
        return super().inputs() | {
            f"asked-{self.split}": self.clone(DownloadQuestions),
            f"annotations-{self.split}": self.clone(DownloadAnnotations),
        }

    def build(self, folder: Path) -> dict[str, Any]:
        from data.text.answers import encode_answers, write_answers

        encoded = encode_answers(split_annotations(self, self.dataset, self.split), self.vocabulary())
        write_answers(folder / "answers.h5", encoded)
        outside = int((encoded.consensus < 0).sum())
        logger.info(
            "%s %s: %s of %s consensus answers are outside the classes",
            self.stage_name(),
            self.split,
            f"{outside:,}",
            f"{len(encoded.consensus):,}",
        )
        return {"questions": len(encoded.consensus), "outside_classes": outside}


class BuildEmbeddings(PartFlags, Stage):
    """Looks up the vocabulary's words among the GloVe vectors; zeros for padding and words without one."""

    named_by = ("dataset", "glove")
    contents = ("embeddings.h5",)
    unit = "bytes"
    dataset = flags.DATASET
    train_split = flags.TRAIN_SPLIT
    answers = flags.ANSWERS
    glove = flags.GLOVE

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        super().check_flags(values)
        if values["glove"] == NO_GLOVE:
            refuse("--glove none: TrainModel draws these vectors itself; name some that can be downloaded")

    def inputs(self) -> dict[str, Stage]:
        return {"vocabulary": self.clone(BuildVocabulary), "glove": self.clone(DownloadGlove)}

    def build(self, folder: Path) -> dict[str, Any]:
        from data.text.glove import embedding_matrix, write_embeddings

        glove, vocabulary = sources.glove(self.glove), read_vocabulary(self)
        file = self.upstream["glove"].target  # type: ignore[attr-defined]
        embeddings = embedding_matrix(vocabulary, file, glove.member, glove.dimensions, self.progress)
        write_embeddings(folder / "embeddings.h5", embeddings)
        with_vector = int(embeddings.found.sum())
        logger.info(
            "%s: %s of %s words have a vector",
            self.stage_name(),
            f"{with_vector:,}",
            f"{len(vocabulary.words):,}",
        )
        return {"found": with_vector, "words": len(vocabulary.words)}


def read_vocabulary(stage: Stage) -> Vocabulary:
    """The vocabulary that a stage has as its input of that name."""
    from data.text.questions import Vocabulary

    return Vocabulary.from_json(stage.file("vocabulary", "vocabulary.json").read_text(encoding="utf-8"))


def split_questions(
    stage: Stage, dataset: str, split: str, task: str = "open-ended", subset: str | None = None
) -> Any:
    """A base split's questions from the stage's input `asked-<split>`; `subset`: of test, test-dev.

    Of a part (`chosen-<split>`) those about its pictures.
    """
    from data.text import official_json

    source = sources.dataset(dataset)
    path = stage.file(f"asked-{split}", source.split(split).questions.file)
    return _about(
        ChoosePictures.ids_for(stage, split),
        official_json.read_questions(path, source.member(split, task, subset)),
    )


def split_annotations(stage: Stage, dataset: str, split: str, questions: Any = None) -> Any:
    """A base split's annotations from `annotations-<split>`, one for each of its questions, in their order.

    `questions`: these questions, where the stage has read them already.
    """
    from data.text import official_json, pairing

    source, own_data = sources.dataset(dataset).split(split), sources.dataset(dataset).humans is None
    assert source.annotations is not None
    path = stage.file(f"annotations-{split}", source.annotations.file)
    annotations = official_json.read_annotations(path, source.annotations_member, own_data)
    annotations = _about(ChoosePictures.ids_for(stage, split), annotations)
    if f"asked-{split}" in stage.upstream:
        questions = split_questions(stage, dataset, split) if questions is None else questions
        return pairing.in_order(annotations, questions)
    return annotations


def _about(chosen: frozenset[int] | None, entries: Any) -> Any:
    """The questions, or annotations, about these pictures; all for None."""
    return entries if chosen is None else [entry for entry in entries if entry.image_id in chosen]
