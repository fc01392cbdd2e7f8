"""The doors of the pipeline: `luigi --module pipeline STAGE` runs stages, `python -m pipeline` looks after the cache.

Importing this registers every stage with Luigi and loads the configuration; it imports nothing heavy.
"""

import sys

from pipeline.config_files import check_config_files

check_config_files()

from tasks import in_use, logs, settings  # noqa: E402
from tasks.process import careful_ctrl_c  # noqa: E402

settings.add_project_config()
settings.choose_scheduler(sys.argv[1:])
if sys.argv[0].endswith("luigi"):
    settings.check_scheduler(sys.argv[1:])
settings.check_artifacts_folder()
settings.add_datasets()
logs.install()
in_use.install()
careful_ctrl_c()

from pipeline.graph import RunAll  # noqa: E402
from tasks.asking import load_model  # noqa: E402
from tasks.download import (  # noqa: E402
    DownloadAnnotations,
    DownloadGlove,
    DownloadImages,
    DownloadQuestions,
    DownloadWeights,
    MakeSample,
)
from tasks.evaluate import EvaluateModel, PredictAnswers  # noqa: E402
from tasks.features import ExtractFeatures  # noqa: E402
from tasks.own import ConvertOwnData  # noqa: E402, F401  (not in __all__: it has no meaning without own data)
from tasks.report import Report  # noqa: E402
from tasks.seed import add_imported  # noqa: E402
from tasks.text import BuildEmbeddings, BuildVocabulary, EncodeAnswers, EncodeQuestions  # noqa: E402
from tasks.train import TrainModel  # noqa: E402

add_imported()

__all__ = [
    "BuildEmbeddings",
    "BuildVocabulary",
    "DownloadAnnotations",
    "DownloadGlove",
    "DownloadImages",
    "DownloadQuestions",
    "DownloadWeights",
    "EncodeAnswers",
    "EncodeQuestions",
    "EvaluateModel",
    "ExtractFeatures",
    "MakeSample",
    "PredictAnswers",
    "Report",
    "RunAll",
    "TrainModel",
    "load_model",
]
