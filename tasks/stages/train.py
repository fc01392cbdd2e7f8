"""The classifier: from encoded questions, answers, word vectors and features to a model."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from data.catalog import sources
from tasks.contract.stage import Stage
from tasks.setup import settings
from tasks.setup.flags import TrainingFlags
from tasks.stages.encoded_inputs import bound_to, question_inputs, read_encoded_questions
from tasks.stages.text import BuildEmbeddings, BuildVocabulary, EncodeAnswers

logger = logging.getLogger("luigi-interface")


class TrainModel(TrainingFlags, Stage):
    """Trains the classifier, with a snapshot every epoch from which a killed run goes on."""

    named_by = ("model", "dataset", "train_split")
    extras = ("history.csv", "curves.png", "events/*")
    contents = ("model.safetensors", "config.json", *extras)
    unit = "questions"
    resources = {"device": 1}

    def parts(self) -> tuple[str, ...]:
        return sources.dataset(self.dataset).parts(self.train_split)

    def inputs(self) -> dict[str, Stage]:
        answers = {f"answers-{part}": self.clone(EncodeAnswers, split=part) for part in self.parts()}
        return {
            "vocabulary": self.clone(BuildVocabulary),
            "embeddings": self.clone(BuildEmbeddings),
            **question_inputs(self, self.train_split),
            **answers,
        }

    def work_key(self) -> str:
        """Snapshots outlive the run under a constant schedule, for more epochs to go on from."""
        if self.lr_schedule != "constant":
            return self.fingerprint
        return self.__class__(**{**self.param_kwargs, "epochs": 1, "rerun": False}).fingerprint

    def build(self, folder: Path) -> dict[str, Any]:
        from models.checkpoints import save_model
        from models.classifiers.build import parameter_table
        from models.devices import use_threads
        from models.training.history import draw_curves, write_events, write_history
        from models.training.loop import bytes_needed, train

        data, architecture, matrix, bound = self._read()
        options = self._options()
        if self.rerun:
            shutil.rmtree(self.work_folder(), ignore_errors=True)
        self.need_room(bytes_needed(architecture, options))
        self.work_folder().mkdir(parents=True, exist_ok=True)
        compute = settings.compute()
        threads = use_threads(compute.threads)
        trained = train(
            data,
            architecture,
            matrix,
            options,
            snapshot_dir=self.work_folder(),
            device=compute.device,
            precision=compute.precision,
            progress=self.progress,
        )
        logger.info("%s\n%s", self.model, parameter_table(trained.module))
        save_model(folder, trained.module, architecture, options, bound)
        write_history(folder / "history.csv", trained.history)
        draw_curves(folder / "curves.png", trained.history)
        write_events(folder / "events", trained.history)
        return trained.facts | {"threads": threads, "last_epoch": trained.history[-1]}

    def keeps_work(self) -> bool:
        return bool(self.lr_schedule == "constant")

    def _read(self) -> tuple[Any, Any, Any, dict[str, str]]:
        import numpy as np

        from data.text.answers import read_answers
        from data.text.glove import read_embeddings
        from models.classifiers.architecture import Architecture
        from models.training.inputs import TrainingData

        questions = read_encoded_questions(self, self.parts())
        encoded = [read_answers(self.file(f"answers-{part}", "answers.h5")) for part in self.parts()]
        matrix = read_embeddings(self.file("embeddings", "embeddings.h5")).matrix
        soft_classes, soft_scores = _stacked([(one.soft_classes, one.soft_scores) for one in encoded])
        data = TrainingData(
            tokens=questions.tokens,
            rows=questions.rows,
            features=questions.features,
            consensus=np.concatenate([one.consensus for one in encoded])[questions.kept],
            soft_classes=soft_classes[questions.kept],
            soft_scores=soft_scores[questions.kept],
        )
        sizes = ("hidden", "joint", "dropout", "fine_tune_embeddings")
        architecture = Architecture(
            model=self.model,
            vocabulary=matrix.shape[0],
            embedding=matrix.shape[1],
            answers=encoded[0].classes,
            features=questions.features[0].shape[1:] if questions.features else (),
            **{name: getattr(self, name) for name in sizes if name not in self.ignored()},
        )
        return data, architecture, matrix, bound_to(self, questions.space)

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
        )


def _stacked(parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Soft targets of several splits under each other, padded to one width."""
    import numpy as np

    from data.text.answers import NO_HUMAN

    width = max(classes.shape[1] for classes, _ in parts)

    def pad(array: Any, value: float) -> Any:
        return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=value)

    classes = np.concatenate([pad(classes, NO_HUMAN) for classes, _ in parts])
    return classes, np.concatenate([pad(scores, 0) for _, scores in parts])
