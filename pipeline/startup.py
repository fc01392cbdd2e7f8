"""What a command does before its first stage: check libraries and luigi.cfg, set up logs and Ctrl-C.

Only commands do this. Imported by any other program, `pipeline` reads luigi.cfg and leaves the process as it is.
"""

from __future__ import annotations

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
    """Around the import of the stages: luigi.cfg is read before. In a command, a mistake is one line.

    Modules that import Luigi are imported here, after luigi.cfg was checked: Luigi would wait for a pipe there.
    """
    command = running_command()
    if command:
        from tasks.setup import terminal

        terminal.install()
        check_libraries()
    from data.base.errors import DataError
    from tasks.setup import config_files

    try:
        config_files.check()
        with config_files.decoded_for_luigi():
            from tasks.setup import luigi_settings, settings

            settings.add_project_config()
        luigi_settings.check()
        if command in LUIGI.values():
            start_luigi(command)
        settings.check_artifacts_folder()
        if command and not {"-h", "--help", "--version"} & set(sys.argv):
            settings.say_where_artifacts_lie()
        settings.add_datasets()
        yield
        if command:
            check_settings()
        if command == "luigi":
            check_root()
    except (DataError, ValueError) as error:
        if command and (isinstance(error, DataError) or type(error).__name__ == "UsageError"):
            raise SystemExit(f"error: {error}") from None
        raise


def start_luigi(command: str) -> None:
    """For Luigi's own commands: choose the scheduler, report mistaken flags in one line, and `start`."""
    from pipeline import luigi_flags
    from tasks.setup import settings

    settings.choose_scheduler(sys.argv[1:])
    if command == "luigi":
        settings.check_scheduler(sys.argv[1:])
    luigi_flags.install()
    start()


def start() -> None:
    """Set up what a command's whole process shares: OpenMP's threads, Python's garbage, logs, the last line after a
    failure, signals."""
    from data.base.garbage import collect_rarely
    from models.openmp import spin_briefly
    from tasks.setup import failures, logs
    from tasks.setup.process import careful_signals

    spin_briefly()
    collect_rarely()
    logs.install()
    failures.install()
    careful_signals()


def check_settings() -> None:
    """Refuse unknown settings and values that can't be used, also if the command reads none of them."""
    from tasks.contract.flagged import check_settings

    check_settings()


def check_root() -> None:
    from pipeline import luigi_root

    luigi_root.install()


def check_libraries() -> None:
    """End with one line if a library is missing: this is then not the project's own Python."""
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        project = Path(__file__).resolve().parents[1]
        lacks = f"{', '.join(missing[:3])}{' ...' if missing[3:] else ''}"
        mend = (
            f"type `. {project}/.venv/bin/activate` first (`make run` in {project} makes .venv)"
            if (project / "Makefile").is_file()
            else "install vqa-pipeline again"
        )
        raise SystemExit(f"error: {sys.executable} lacks {lacks}; {mend}")
