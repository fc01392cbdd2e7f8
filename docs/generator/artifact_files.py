"""What every artifact's files hold, in words. `tests/docs` compares the names, types and ranks with a finished run."""

from __future__ import annotations

Part = tuple[str, str, str]
"""Of an HDF5 file: type, shape, meaning. Of a JSON file: "", "", meaning."""

QUESTIONS_H5: dict[str, Part] = {
    "tokens": ("int32", "(Q, 26)", "word ids, zeros on the left; unknown words have the last id"),
    "lengths": ("int32", "(Q,)", "how many of the 26 are words"),
    "question_ids": ("int64", "(Q,)", "the official ids, in the order of the questions file"),
    "image_ids": ("int64", "(Q,)", "the picture that is asked about"),
}
ANSWERS_H5: dict[str, Part] = {
    "consensus": ("int32", "(Q,)", "class of the consensus answer, -1 outside the classes"),
    "humans": ("int32", "(Q, H)", "class of each person's answer, -1 outside the classes, -2 no such person"),
    "question_ids": ("int64", "(Q,)", "the official ids"),
    "soft_classes": ("int32", "(Q, K)", "every class that earns something, then -2"),
    "soft_scores": ("float32", "(Q, K)", "its official score, 0 to 1"),
}
FEATURES_H5: dict[str, Part] = {
    "features": ("float16", "(N, *shape)", "a row a picture; contiguous, uncompressed"),
    "image_ids": ("int64", "(N,)", "ascending; row i is the picture image_ids[i]"),
    "image_names": ("text", "(N,)", "path in the zip or folder"),
}
VOCABULARY_JSON: dict[str, Part] = {
    "words": ("", "", "list of {word, count}: ids 1, 2, ... by count, then alphabet; 0 is padding"),
    "unknown_id": ("", "", "the id of words that training did not have: the last"),
    "answers": ("", "", "list of {answer, count}: classes 0, 1, ... by count, then alphabet"),
    "questions": ("", "", "training questions"),
    "kept_questions": ("", "", "those whose consensus answer is a class"),
}

FILES: dict[str, dict[str, dict[str, Part] | str]] = {
    "MakeSample": {
        "sample-*.zip": "JPEG pictures under COCO's names, one zip a split",
        "Questions_*_sample.zip": "open-ended and multiple-choice questions, in the official format",
        "Annotations_*_sample.zip": "ten answers to each question, in the official format",
        "glove.sample.zip": "seeded word vectors as a GloVe text file",
    },
    "DownloadImages": {"*": "the zip, under the catalog's name; a link where a copy of yours is used"},
    "ChoosePictures": {
        "pictures.json": {
            "image_ids": ("", "", "the pictures that count, ascending"),
            "pictures": ("", "", "how many these are"),
            "of": ("", "", "how many the split has"),
        }
    },
    "DownloadPart": {
        "*.zip": "the chosen pictures, stored under their names, in a zip of the catalog's name"
    },
    "DownloadQuestions": {"*": "the zip, under the catalog's name"},
    "DownloadAnnotations": {"*": "the zip, under the catalog's name"},
    "DownloadGlove": {
        "*": "the zip, under the catalog's name; a link where a copy or an unpacked text of yours is used"
    },
    "DownloadWeights": {"*": "the .pth file, under the catalog's name"},
    "ConvertOwnData": {
        "*-questions.json": "questions in the official format, a file a split",
        "*-annotations.json": "answers in the official format, a file a split",
    },
    "ExtractFeatures": {"features.h5": FEATURES_H5},
    "ExtractPart": {"features.h5": FEATURES_H5},
    "BuildVocabulary": {"vocabulary.json": VOCABULARY_JSON},
    "EncodeQuestions": {"questions.h5": QUESTIONS_H5},
    "EncodeAnswers": {"answers.h5": ANSWERS_H5},
    "BuildEmbeddings": {
        "embeddings.h5": {
            "matrix": ("float32", "(V, D)", "a vector a word id; zeros for padding and words without one"),
            "found": ("bool", "(V,)", "which word ids have a vector"),
        }
    },
    "CheckLeaks": {
        "leaks.json": {
            "pictures": ("", "", "judged pictures that are in training too"),
            "of": ("", "", "judged pictures"),
            "questions": ("", "", "judged questions about such pictures"),
            "question_ids": ("", "", "their ids"),
            "shared": (
                "",
                "",
                "[{image_id, name, in_training}, ...]: the name there of the picture, or of its twin",
            ),
        }
    },
    "TrainModel": {
        "model.safetensors": "the weights",
        "config.json": "architecture, options, and which vocabulary and kind of features they belong to",
        "history.csv": "loss and accuracy, an epoch a row",
        "curves.png": "the same, drawn",
        "events/*": "the same for TensorBoard",
    },
    "PredictAnswers": {
        "results*.json": "[{question_id, answer}, ...], the official format: results.json has all of the split, "
        "results-test-dev.json that part of test",
        "predictions.h5": {
            "question_ids": ("int64", "(Q,)", "the official ids"),
            "chosen": ("int32", "(Q,)", "the class that was answered, -1 where no choice is a class"),
            "top_classes": ("int32", "(Q, 5)", "the five best, best first"),
            "top_probabilities": ("float32", "(Q, 5)", "theirs: softmax over all classes"),
            "log_likelihoods": ("float32", "(Q,)", "of the consensus answer; not for test"),
            "attention": ("float16", "(Q, rows, columns)", "each place's share; of models that attend alone"),
        },
    },
    "ExchangePictures": {
        "exchange.json": {
            "pictures": ("", "", "how many different pictures the judged questions are about"),
            "answers": (
                "",
                "",
                "the names of what was seen in place of the picture; none of fewer than two pictures",
            ),
        },
        "exchange.h5": {
            "question_ids": ("int64", "(Q,)", "the official ids"),
            "image_ids": ("int64", "(Q,)", "the question's own picture"),
            "exchanged_image_ids": ("int64", "(Q,)", "the picture that it was asked about"),
        },
        "results-*.json": "[{question_id, answer}, ...]: results-exchanged.json about another question's picture, "
        "results-mean-picture.json about the mean picture",
    },
    "EvaluateModel": {
        "accuracy.json": {
            "overall": ("", "", "the accuracy, in percent"),
            "perAnswerType": ("", "", "the same for yes/no, number, other"),
            "perQuestionType": ("", "", "the same for each question type"),
            "metric": ("", "", "official, or few-answers where some questions have fewer than ten"),
            "questions": ("", "", "how many were judged"),
            "intervals": (
                "",
                "",
                "[from, to] of each accuracy, and of the gains over the baselines in points, at 95 %; null where too "
                "few pictures tell; pictures, and resamples of the bootstrap over them",
            ),
            "consistency": (
                "",
                "",
                "pairs of questions in the same words about different pictures with different answers: how many, in "
                "percent both_right, and the mean_over_wordings; null where the questions have no texts",
            ),
            "baselines": ("", "", "priors that see no picture; with --baseline also the language-only model"),
            "picture_worth": (
                *("", ""),
                "with --picture-worth: for exchanged and mean_picture the accuracy {overall, perAnswerType}, the "
                "points that it lacks (worth) and their intervals, both in the same form; null of fewer than two "
                "pictures",
            ),
            "seed": ("", "", "loss, exact_match and any_of_ten, as the original prints them"),
            "in_training_too": (
                *("", ""),
                "judged pictures and questions that are in training too, and the accuracy without; for models that "
                "see pictures",
            ),
            "part": (
                *("", ""),
                "of a part of the data (--limit-pictures): pictures trained and judged on, of how many, and a note",
            ),
        }
    },
    "Report": {"report.html": "the page, in one file"},
    "CompareModels": {
        "comparison.json": {
            "dataset": ("", "", "what they were judged on"),
            "eval_split": ("", "", "and of that, the split"),
            "task": ("", "", "and the task"),
            "models": (
                *("", ""),
                "best first: name, flags in force, overall, perAnswerType, consistency and picture_worth as {mean, "
                "deviation over the seeds, interval at 95 %}, prior (the best guess without the picture), and of each "
                "of its seeds the accuracy, fingerprint, epochs and parameters",
            ),
            "pairs": (
                *("", ""),
                "of each two: better, other, the difference in points, its interval, and chance: beyond, within "
                "(noise) or unknown (fewer than ten pictures)",
            ),
            "part": ("", "", "what is to be said where it is a part of the data; empty for all of it"),
            "questions": ("", "", "how many all of them answered: intervals and differences are over these"),
            "pictures": ("", "", "how many these are about"),
            "left_out": ("", "", "{model: the reason} of those that do not fit the flags"),
        },
        "comparison.html": "the same as a page, in one file",
        "made.json": "the command, and of each training when, how long (seconds) and with what: no part of the digest",
    },
    "RunAll": {},
    "ImportFiles": {"*": "a link to the zip, or to the three files"},
    "ImportFeatures": {"features.h5": FEATURES_H5},
    "ImportVocabulary": {"vocabulary.json": VOCABULARY_JSON},
    "ImportQuestions": {"questions.h5": QUESTIONS_H5},
    "ImportAnswers": {"answers.h5": ANSWERS_H5},
}

MANIFEST: dict[str, str] = {
    "manifest_version": "of this form",
    "key": "all that decides the content: stage, version, parameters, and the fingerprints of the inputs",
    "flags": "the flags as they were given: in `key` a file of weights stands by its sha256",
    "files": "{name: {size, sha256}}",
    "digest": "sha256 over the names and hashes of the result files",
    "inputs": "{name: {path, digest}}: what was read",
    "started": "seconds since 1970",
    "finished": "seconds since 1970",
    "seconds": "how long it took",
    "host": "where",
    "source": "digest of the code that it came from ([what it follows](cache.md#when-code-changes))",
    "facts": "what the stage found: counts, device, precision, accuracy",
    "warnings": "what a person should know, such as pictures left out",
    "versions": "of Python and the libraries",
    "commit": "of this project; + where files differed from it",
    "platform": "operating system and processor",
}
