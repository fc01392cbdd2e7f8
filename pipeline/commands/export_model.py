"""`python -m pipeline export-model RUN --to model.zip`: a trained model as one file, to pass on."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.base.words import human_size, show


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", default="", help="a trained run as `runs` lists it (default: the newest)"
    )
    parser.add_argument("--to", metavar="FILE", type=Path, required=True, help="the file, such as model.zip")


def export_model_file(flags: argparse.Namespace) -> int:
    """Write the file, and print what it needs on another machine."""
    from tasks.library.model_export import export_model
    from tasks.library.model_of_run import ModelOfRun
    from tasks.library.trained_model import chosen_run

    about = export_model(ModelOfRun(chosen_run(flags.run)), flags.to)
    show(f"{flags.to}: {about.name}, {human_size(flags.to.stat().st_size)}")
    if about.backbone and about.backbone.sha256:
        needs = f"{about.backbone.name} with {about.backbone.file}, sha256 {about.backbone.sha256}"
        how = "fetched" if about.backbone.weights == "pretrained" else "which has to lie beside the file"
        show(f"it needs {needs}, {how} where it is used")
    return 0
