"""What a command does before its first stage: libraries and luigi.cfg are looked at, logs and Ctrl-C are set up.

Only a command does so. Imported by any other program, `pipeline` reads luigi.cfg and leaves the process as it is.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = [
    "luigi",
    "torch",
    "torchvision",
    "simplejpeg",
    "PIL",
    "h5py",
    "numpy",
    "nltk",
    "msgspec",
    "isal",
    "requests",
    "urllib3",
    "tenacity",
    "tqdm",
    "safetensors",
    "matplotlib",
    "jinja2",
    "markupsafe",
    "tensorboard",
]
"""What pyproject.toml requires, under the names that are imported."""

LUIGI = {"luigi.cmdline": "luigi", "luigi.tools.deps_tree": "luigi-deps-tree"}
"""Luigi's own commands by the module that is what runs."""

OURS = "vqa"


def running_command() -> str:
    """The command that imports this: luigi, luigi-deps-tree, vqa (also `python -m pipeline`); "" in another program."""
    frame = sys._getframe()
    while frame.f_back:
        frame = frame.f_back
        spec = frame.f_globals.get("__spec__")
        if spec and spec.name in LUIGI:
            return LUIGI[spec.name]
    if frame.f_code.co_name == "_run_module_as_main":  # runpy's: `python -m NAME`
        return OURS if frame.f_locals.get("mod_name") in ("pipeline", "pipeline.__main__") else ""
    is_script = frame.f_globals["__name__"] == "__main__" and Path(frame.f_code.co_filename).stem == OURS
    return OURS if is_script else ""


@contextmanager
def opening() -> Iterator[None]:
    """Around the import of the stages: luigi.cfg is read before it. A mistake that a command meets is one line.

    What imports Luigi is imported here, after the look at luigi.cfg: Luigi would wait for a pipe there.
    """
    command = running_command()
    if command:
        check_libraries()
    from data.base.errors import DataError

    try:
        check_config_files()
        from tasks.setup import settings

        settings.add_project_config()
        if command in LUIGI.values():
            start_luigi(command)
        settings.check_artifacts_folder()
        settings.add_datasets()
        yield
    except (DataError, ValueError) as error:
        if command and (isinstance(error, DataError) or type(error).__name__ == "UsageError"):
            raise SystemExit(f"error: {error}") from None
        raise


def start_luigi(command: str) -> None:
    """For Luigi's own commands: where stages are scheduled, flags whose mistakes are one line, and `start`."""
    from pipeline import luigi_flags
    from tasks.setup import settings

    settings.choose_scheduler(sys.argv[1:])
    if command == "luigi":
        settings.check_scheduler(sys.argv[1:])
    luigi_flags.install()
    start()


def start() -> None:
    """Set up what a command's whole process shares: OpenMP's threads, logs, the last line after a failure, Ctrl-C."""
    from models.openmp import spin_briefly
    from tasks.setup import failures, logs
    from tasks.setup.process import careful_ctrl_c

    spin_briefly()
    logs.install()
    failures.install()
    careful_ctrl_c()


def check_libraries() -> None:
    """End with one line where a library is missing: this is then not the project's own Python."""
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        project = Path(__file__).resolve().parents[1]
        lacks = f"{', '.join(missing[:3])}{' ...' if missing[3:] else ''}"
        raise SystemExit(
            f"error: {sys.executable} lacks {lacks}; type `. {project}/.venv/bin/activate` first "
            f"(`make run` in {project} makes .venv)"
        )


def check_config_files() -> None:
    """DataError unless the file that LUIGI_CONFIG_PATH names, ./luigi.cfg and the project's own can be read.

    The command `luigi` itself reads them before it imports anything of ours.
    """
    from data.base.errors import DataError
    from data.base.files import SETTINGS_BYTES, check_text

    here = "luigi.cfg" if os.path.lexists("luigi.cfg") else None
    ours = str(Path(__file__).resolve().parents[1] / "luigi.cfg")
    for what, file in (("LUIGI_CONFIG_PATH: ", os.environ.get("LUIGI_CONFIG_PATH")), ("", here), ("", ours)):
        if not file:
            continue
        try:
            check_text(Path(file), SETTINGS_BYTES)
            configparser.ConfigParser().read(file)  # as Luigi reads it
        except DataError as error:
            raise DataError(f"{what}{error}") from None
        except (configparser.Error, UnicodeDecodeError) as error:
            raise DataError(f"{what}{file}{_slip(error)}") from None


def _slip(error: Exception) -> str:
    """Where a configuration can't be parsed, and what mends it."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        if str(error.line).startswith(("\ufeff", "\u00ef\u00bb\u00bf")):
            return ": begins with a byte order mark; save it as UTF-8 without one"
        return f", line {error.lineno}: stands before the first [section]; put one above it, such as [paths]"
    if isinstance(error, configparser.DuplicateSectionError):
        return f", line {error.lineno}: [{error.section}] is there twice; put its settings under one heading"
    if isinstance(error, configparser.DuplicateOptionError):
        return f", line {error.lineno}: {error.option} is in [{error.section}] twice; leave one of them"
    if isinstance(error, configparser.ParsingError):
        number, text = error.errors[0]  # up to Python 3.12 the line's repr
        found = str(text).strip().strip("'").removesuffix("\\n")
        return f", line {number}: expected `name = value` or [section], found `{found}`"
    return f": is not UTF-8 text ({error}); save it as UTF-8"
