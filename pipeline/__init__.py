"""The doors of the pipeline: `luigi --module pipeline STAGE` runs stages, `python -m pipeline` looks after the cache.

Importing this registers every stage with Luigi and loads the configuration; it imports nothing heavy.
"""

from pipeline.startup import start

start()

from pipeline.run_all import RunAll
from tasks.library.trained_model import load_model
from tasks.stages.download import DownloadGlove, DownloadImages, DownloadWeights, MakeSample
from tasks.stages.download_texts import DownloadAnnotations, DownloadQuestions
from tasks.stages.evaluate import EvaluateModel
from tasks.stages.extract import ExtractFeatures
from tasks.stages.imported import add_imported
from tasks.stages.own_data import ConvertOwnData  # noqa: F401  (not in __all__: it has no meaning without own data)
from tasks.stages.predict import PredictAnswers
from tasks.stages.report import Report
from tasks.stages.text import BuildEmbeddings, BuildVocabulary, EncodeAnswers, EncodeQuestions
from tasks.stages.train import TrainModel

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
