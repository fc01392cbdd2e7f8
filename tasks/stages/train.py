"""The classifier: from encoded questions, answers, word vectors and features to a model."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.base.errors import ModelError
from data.base.words import counted, human_size
from data.catalog import sources
from models.classifiers.names import CLASSIFIERS
from models.training.choices import SCHEDULES, held_out_count
from tasks.contract.manifest import Manifest
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.few_questions import ENOUGH, TOO_FEW
from tasks.setup.flag_kinds import NO_GLOVE, limits_of
from tasks.setup.flags import TrainingFlags
from tasks.setup.user_errors import refuse
from tasks.stages.encoded_inputs import Questions, bound_to, question_inputs, read_encoded_questions
from tasks.stages.leaks import CheckLeaks
from tasks.stages.text import BuildEmbeddings, BuildVocabulary, EncodeAnswers, read_vocabulary

logger = logging.getLogger("luigi-interface")


class TrainModel(TrainingFlags, Stage):
    """Trains the classifier, with a snapshot every epoch from which a killed run goes on."""

    named_by = ("model", "dataset", "train_split")
    extras = ("history.csv", "curves.png", "events/*")
    contents = ("model.safetensors", "config.json", *extras)
    unit = "questions"
    resources = {"device": 1}

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        """Refuse a share to hold out that can't be, before anything runs, where the catalog counts the pictures."""
        super().check_flags(values)
        dataset = sources.dataset(values["dataset"])
        splits = [dataset.split(part) for part in dataset.parts(values["train_split"])]
        counts = [sources.image_set(split.image_set).images or 0 for split in splits]
        limit, whole = limits_of(values["limit_pictures"])[0], sum(counts) if all(counts) else 0
        pictures = min(limit or whole, whole or limit)
        if values["hold_out"] and pictures:
            try:
                held_out_count(values["hold_out"], pictures)
            except ModelError as error:
                refuse(str(error))

    def parts(self) -> tuple[str, ...]:
        return sources.dataset(self.dataset).parts(self.train_split)

    def inputs(self) -> dict[str, Stage]:
        answers = {f"answers-{part}": self.clone(EncodeAnswers, split=part) for part in self.parts()}
        return {
            "vocabulary": self.clone(BuildVocabulary),
            **({"embeddings": self.clone(BuildEmbeddings)} if self.glove != NO_GLOVE else {}),
            **question_inputs(self, self.train_split),
            **answers,
        }

    def guards(self) -> list[Stage]:
        """Own data is not trained on what it is judged by. Where both splits are trained on, none is judged."""
        dataset = sources.dataset(self.dataset)
        if dataset.own is None or dataset.ready_made or len(self.parts()) > 1:
            return []
        return [self.clone(CheckLeaks, eval_split="val")]

    def work_key(self) -> str:
        """Under an open schedule snapshots outlive the run, so that more epochs can go on from them."""
        if not self.keeps_work():
            return self.fingerprint
        return self.__class__(**{**self.param_kwargs, "epochs": 1, "rerun": False}).fingerprint

    def build(self, folder: Path) -> dict[str, Any]:
        from models.checkpoints import save_model
        from models.classifiers.build import parameter_table, trained_parameters
        from models.devices import use_threads
        from models.training.held_out import best_of
        from models.training.history import draw_curves, write_events, write_history
        from models.training.inputs import threads_for
        from models.training.loop import bytes_needed, train

        data, architecture, matrix, bound, held_out = self._read()
        options = self._options()
        if self.rerun:
            shutil.rmtree(self.work_folder(), ignore_errors=True)
        self.need_room(bytes_needed(architecture, options, held_out is not None))
        self.work_folder().mkdir(parents=True, exist_ok=True)
        compute = settings.compute()
        use_threads(compute.threads or threads_for(architecture, options))
        _say_what_stays_on_the_disk(data.features)
        trained = train(
            data,
            architecture,
            matrix,
            options,
            snapshot_dir=self.work_folder(),
            device=compute.device,
            precision=compute.precision,
            progress=self.progress,
            held_out=held_out,
        )
        logger.info("%s\n%s", self.model, parameter_table(trained.module))
        if (questions := trained.facts["questions_trained_on"]) < ENOUGH:
            self.warn(f"trained on {counted(questions, 'question')}: {TOO_FEW}")
        save_model(folder, trained.module, architecture, options, bound)
        write_history(folder / "history.csv", trained.history)
        draw_curves(folder / "curves.png", trained.history)
        write_events(folder / "events", trained.history)
        if held_out is not None:
            logger.info("%s", best_of(trained.history, len(held_out)))
        if len(trained.facts["arithmetic"]) > 1:
            self.warn("its epochs were not all computed with the same device, precision and threads")
        return trained.facts | {
            "last_epoch": trained.history[-1],
            "trained_parameters": trained_parameters(trained.module),
            "reads": list(architecture.features),
        }

    def keeps_work(self) -> bool:
        return SCHEDULES[self.lr_schedule].open

    def _read(self) -> tuple[Any, Any, Any, dict[str, str], Any]:
        import numpy as np

        from data.text.answers import NO_HUMAN, read_answers
        from models.classifiers.architecture import Architecture
        from models.training.inputs import TrainingData

        questions = read_encoded_questions(self, self.parts())
        encoded = [read_answers(self.file(f"answers-{part}", "answers.h5")) for part in self.parts()]
        humans, matrix = _stacked([part.humans for part in encoded], NO_HUMAN), self._word_vectors()
        soft_classes = _stacked([part.soft_classes for part in encoded], NO_HUMAN)
        soft_scores = _stacked([part.soft_scores for part in encoded], 0)
        data = TrainingData(
            tokens=questions.tokens,
            rows=questions.rows,
            features=questions.features,
            consensus=np.concatenate([part.consensus for part in encoded])[questions.kept],
            soft_classes=soft_classes[questions.kept],
            soft_scores=soft_scores[questions.kept],
            humans=humans[questions.kept],
        )
        sizes = ("hidden", "joint", "dropout", "fine_tune_embeddings", "standardise")
        architecture = Architecture(
            model=self.model,
            vocabulary=matrix.shape[0],
            embedding=matrix.shape[1],
            answers=encoded[0].classes,
            features=questions.features[0].shape[1:] if questions.features else (),
            **{name: getattr(self, name) for name in sizes if name not in self.ignored()},
        )
        if self.glove == NO_GLOVE:
            architecture = replace(architecture, fine_tune_embeddings=True)
        return data, architecture, matrix, bound_to(self, questions.space), self._held_out(questions)

    def _held_out(self, questions: Questions) -> Any:
        """The numbers of the questions that are kept from training, or None."""
        from models.training.held_out import held_out_questions

        if not self.hold_out:
            return None
        return held_out_questions(questions.image_ids, self.hold_out, self.seed)

    def _word_vectors(self) -> Any:
        """(V, D) float32, a row for each word id."""
        from data.text.glove import read_embeddings
        from models.classifiers.initial_weights import random_word_vectors

        if self.glove != NO_GLOVE:
            return read_embeddings(self.file("embeddings", "embeddings.h5")).matrix
        return random_word_vectors(read_vocabulary(self).size, self.seed)

    def _options(self) -> Any:
        from models.training.inputs import TrainingOptions

        return TrainingOptions(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimiser=self.optimiser,
            schedule=self.lr_schedule,
            target=self.target,
            seed=self.seed,
            limit=self.limit_questions or None,
            **CLASSIFIERS[self.model].training,
        )


def _say_what_stays_on_the_disk(features: list[Any] | None) -> None:
    import numpy as np

    from data.pictures.feature_file import IN_MEMORY

    stored = sum(part.nbytes for part in features or [] if isinstance(part, np.memmap))
    if stored:
        logger.info(
            "%s of features stay on the disk, as files of more than %s do: an epoch goes through them block by block, "
            "in an order drawn for each epoch, and through the questions about a block's pictures",
            human_size(stored),
            human_size(IN_MEMORY),
        )


def network_of(manifest: Manifest) -> dict[str, str]:
    """What a trained model reads of a picture, and how many of its parameters train; "–" where earlier versions
    did not note it."""
    reads, trained = (manifest.facts.get(name) for name in ("reads", "trained_parameters"))
    shape = "–" if reads is None else " x ".join(map(str, reads)) or "no picture"
    return {"reads": shape, "trained parameters": "–" if trained is None else f"{trained:,}"}


def _stacked(parts: list[Any], fill: float) -> Any:
    """The tables (Q, K) of several splits under each other, padded to one width."""
    import numpy as np

    width = max(part.shape[1] for part in parts)
    wide = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=fill) for part in parts]
    return np.concatenate(wide)
