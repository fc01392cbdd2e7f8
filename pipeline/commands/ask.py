"""`python -m pipeline ask photo.jpg "What colour is the bus?"`: a trained model's answers about any picture."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", help="a picture file")
    parser.add_argument(
        "questions", nargs="+", metavar="question", help="one or more, each in quotation marks"
    )
    parser.add_argument("--run", default="", help="a trained run as `runs` lists it (default: the newest)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def ask(flags: argparse.Namespace) -> int:
    """Print the likeliest answers to questions about a picture, with their probabilities."""
    from tasks.library.trained_model import load_model

    model = load_model(flags.run)
    found = model.ask(flags.picture, *flags.questions)
    if flags.json:
        print(json.dumps({"run": model.run.name, "asked": [asdict(one) for one in found]}, indent=1))
        return 0
    print(f"{model.run.name}\n")
    for one in found:
        print(one.question)
        for answer, share in one.answers:
            print(f"  {share:6.1%}  {answer}")
        if one.unknown_words:
            print(f"  (words that training did not have: {', '.join(one.unknown_words)})")
    return 0
