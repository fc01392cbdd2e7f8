"""Every stage, for `luigi --module pipeline STAGE`, and `load_model`, for Python.

Importing this registers every stage with Luigi and reads luigi.cfg. It imports nothing heavy and leaves the process as
it is; where a command imports it, `pipeline.startup` sets that command up.
"""

from pipeline.startup import opening

with opening():
    from pipeline.run_all import RunAll
    from tasks.library import in_use
    from tasks.library.trained_model import load_model
    from tasks.stages.compare_models import CompareModels
    from tasks.stages.download import DownloadGlove, DownloadImages, DownloadWeights, MakeSample
    from tasks.stages.download_texts import DownloadAnnotations, DownloadQuestions
    from tasks.stages.evaluate import EvaluateModel
    from tasks.stages.exchange import ExchangePictures
    from tasks.stages.extract import ExtractFeatures, ExtractPart
    from tasks.stages.imported import add_imported
    from tasks.stages.leaks import CheckLeaks
    from tasks.stages.own_data import (
        ConvertOwnData,  # noqa: F401  (not in __all__: it has no meaning without own data)
    )
    from tasks.stages.part import ChoosePictures, DownloadPart
    from tasks.stages.predict import PredictAnswers
    from tasks.stages.report import Report
    from tasks.stages.text import BuildEmbeddings, BuildVocabulary, EncodeAnswers, EncodeQuestions
    from tasks.stages.train import TrainModel

    in_use.install()
    add_imported()

__all__ = [
    "BuildEmbeddings",
    "BuildVocabulary",
    "CheckLeaks",
    "ChoosePictures",
    "CompareModels",
    "DownloadAnnotations",
    "DownloadGlove",
    "DownloadImages",
    "DownloadPart",
    "DownloadQuestions",
    "DownloadWeights",
    "EncodeAnswers",
    "EncodeQuestions",
    "EvaluateModel",
    "ExchangePictures",
    "ExtractFeatures",
    "ExtractPart",
    "MakeSample",
    "PredictAnswers",
    "Report",
    "RunAll",
    "TrainModel",
    "load_model",
]
