"""The settings of luigi.cfg that are ours: which there are, their defaults, and where a relative path starts.

Flags say *what* is computed and move an artifact's path; settings say *how* and never do. The one exception is
[experiment], which holds defaults for the flags themselves.
"""

from __future__ import annotations

import argparse
import configparser
import errno
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from luigi import configuration

from data.base import words
from data.base.errors import DataError
from data.base.settings_text import expanded
from data.catalog import sources
from models.classifiers.names import CLASSIFIERS
from tasks.setup import config_files
from tasks.setup.config_files import INSTALLED, LUIGIS, OURS, PROJECT, meant
from tasks.setup.user_errors import nearest, refuse


def _count(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not 0 <= (number := int(text)) <= most:
            raise ValueError
        return number

    return parse


def _path(text: str) -> str:
    if not text or text[0] in "\"'":  # a quotation mark that is never closed
        raise ValueError
    return expanded(text)


def _paths(text: str) -> list[str]:
    """Names separated by commas, each in quotation marks or not."""
    return [_path(meant(name)) for name in text.split(",") if name.strip()]


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    parse.__doc__ = " | ".join(names)
    return parse


def _device(text: str) -> str:
    """auto | cpu | cuda | cuda:N | cuda:N,cuda:M"""
    names = text.replace(" ", "").split(",")
    numbered = len(set(names)) == len(names) and all(re.fullmatch(r"cuda:\d+", name) for name in names)
    if text not in ("auto", "cpu", "cuda") and not numbered:
        raise ValueError
    return ",".join(names)


@dataclass(frozen=True)
class Setting:
    default: str
    parse: Callable[[str], Any]
    expected: str


SETTINGS: dict[str, dict[str, Setting]] = {
    "paths": {"artifacts": Setting("artifacts" if INSTALLED else "data/artifacts", _path, "a folder")},
    "sources": {
        "mirror": Setting("", expanded, "file:///folder or http(s)://address, or nothing"),
        "datasets": Setting("", _paths, "TOML files with datasets of your own, separated by commas"),
    },
    "compute": {
        "device": Setting("auto", _device, "auto, cpu or cuda, or GPUs by number such as cuda:0,cuda:1"),
        "precision": Setting("auto", _one_of("auto", "float32", "bfloat16"), "auto, float32 or bfloat16"),
        "threads": Setting("0", _count(1024), "a whole number up to 1024, 0 = one for each physical core"),
        "batch_size": Setting("0", _count(10**6), "a whole number up to 1000000, 0 = what suits the device"),
        "engine": Setting("local", _one_of("local", "ray"), "local or ray"),
        "ray_address": Setting("", str, "a Ray address, or nothing for a cluster on this machine"),
    },
    "features": {"max_bad_images": Setting("0", _count(10**9), "a whole number up to 1000000000")},
}


def get(section: str, option: str) -> Any:
    """The value in force of one of SETTINGS, parsed. Ends with one line where it can't be used."""
    setting = SETTINGS[section][option]
    try:
        return setting.parse(meant(_interpolated(section, option, setting.default)))
    except ValueError:
        why = f"expected {setting.expected}"
    except DataError as error:
        why = str(error)
    text = configuration.get_config().get(section, option, setting.default, raw=True)
    refuse(f"{_place(section, option)}: [{section}] {option} = {text!r}: {why}")


def _interpolated(section: str, option: str, default: str) -> str:
    """The value with Luigi's %(name)s and ${NAME} replaced; any other % stands for itself."""
    config = configuration.get_config()
    try:
        return str(config.get(section, option, default))
    except configparser.InterpolationMissingOptionError as error:
        raise DataError(f"no setting is called {error.reference}; write %% for a %") from None
    except configparser.InterpolationError:  # a missing environment variable is reported below
        return str(config.get(section, option, default, raw=True))


def _place(section: str, option: str) -> str:
    """The file and the line that state a setting, nearest first."""
    stated = [file for file in config_files.in_force() if option in _read(file).get(section, {})]
    return config_files.place(stated[0], section, option) if stated else "luigi.cfg"


@dataclass(frozen=True)
class Compute:
    """How results are made: [compute], each option by its name. None of it changes what they mean.

    device: auto, a name, or GPUs by number, separated by commas; precision: auto or a name; threads, batch_size: 0 =
    what suits the processor; engine: local or ray.
    """

    device: str
    precision: str
    threads: int
    batch_size: int
    engine: str
    ray_address: str


def compute() -> Compute:
    """[compute] as it is in force."""
    return Compute(**{name: get("compute", name) for name in SETTINGS["compute"]})


def artifacts_folder() -> Path:
    """Where results live. A relative path starts at the file that states it, so any folder may be the current one."""
    stated = Path(get("paths", "artifacts"))
    return stated if stated.is_absolute() else (_stated_in("paths", "artifacts") / stated)


def _stated_in(section: str, option: str) -> Path:
    """The folder of the file that states a setting; the project's where none does, or the current one if installed."""
    for file in config_files.in_force():
        if option in _read(file).get(section, {}):
            return file.parent
    return Path.cwd() if INSTALLED else PROJECT


def say_where_artifacts_lie() -> None:
    """On stderr, where nobody has said so and the project has no folder of its own."""
    if INSTALLED and not any("artifacts" in _read(file).get("paths", {}) for file in config_files.in_force()):
        words.show(
            f"artifacts: {artifacts_folder()} (`[paths] artifacts` in ./luigi.cfg names another folder)",
            file=sys.stderr,
        )


@cache
def _read(file: Path) -> dict[str, dict[str, str]]:
    return config_files.sections(file)


def check(flags: set[str], stages: set[str]) -> None:
    """Refuse what nothing reads: unknown settings in our sections, and sections named after a stage.

    `flags`: the names that [experiment] may hold. A stage's own section (Luigi would read it) is refused because
    the stages below the root get their flags from it, so that the section would sometimes be ignored.
    """
    valid = {section: set(options) for section, options in SETTINGS.items()} | {"experiment": flags}
    for file in config_files.in_force():
        for section, options in _read(file).items():
            there = config_files.place(file, section)
            if section in stages:
                refuse(f"{there}: section [{section}] is not read; put its flags under [experiment]")
            if section not in {*valid, *LUIGIS} and (close := words.nearest(section, [*valid], cutoff=0.75)):
                refuse(f"{there}: unknown section [{section}]; did you mean [{close}]?")
            for option in options if section in valid else ():
                if option not in valid[section]:
                    hint = nearest(option, list(valid[section]))
                    there = config_files.place(file, section, option)
                    refuse(f"{there}: unknown setting '{option}' in [{section}]; {hint}")
    for section, settings in SETTINGS.items():
        for option in settings:
            get(section, option)  # a value that can't be used ends here
    experiment()
    for name, dataset in sources.catalog().datasets.items():
        for flag in {*dataset.defaults, *chain(*dataset.models.values())} - flags:
            refuse(f"unknown flag '{flag}' in the defaults of dataset {name}; {nearest(flag, list(flags))}")
        for model in dataset.models.keys() - CLASSIFIERS.keys():
            refuse(
                f"unknown model '{model}' in the defaults of dataset {name}; {nearest(model, list(CLASSIFIERS))}"
            )


def add_project_config() -> None:
    """Let Luigi read the project's luigi.cfg first, so that nearer files and what a program has set override it."""
    parser = configuration.get_config()
    ours = str(OURS)
    if ours in parser._config_paths:
        return
    before = {name: dict(parser.items(name, raw=True)) for name in parser.sections()}
    parser._config_paths.insert(0, ours)
    parser.reload()
    for section, options in before.items():
        for option, value in options.items():
            if parser.get(section, option, raw=True) != value:
                parser.set(section, option, value)


def check_artifacts_folder() -> None:
    """Refuse [paths] artifacts where it is not a folder: `verify` would find nothing wrong in it."""
    folder = artifacts_folder()
    try:
        os.lstat(folder / ("x" * 200) / ("x" * 200))  # about as long as the names of artifacts' files become
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            there = _place("paths", "artifacts")
            refuse(
                f"{there}: [paths] artifacts = {str(folder)[:60]}...: too long for the names of files in it"
            )
    if os.path.lexists(folder) and not folder.is_dir():
        refuse(f"[paths] artifacts = {folder}: is not a folder")


def add_datasets() -> None:
    """Add the files that `[sources] datasets` names to the catalog, before flags are read, which need their names."""
    stated = get("sources", "datasets")
    try:
        for name in stated:
            sources.add(_stated_in("sources", "datasets") / name)
        if stated:
            sources.catalog()
    except DataError as error:
        refuse(str(error))


def choose_scheduler(arguments: list[str]) -> None:
    """Schedule in this process unless the command line or the user's configuration names a luigid.

    With `local_scheduler = true` in a file Luigi ignores --scheduler-host without a word, so none of our files sets it.
    """
    config = configuration.get_config()
    named = any(a.split("=")[0] in ("--scheduler-host", "--scheduler-url") for a in arguments)
    configured = any(
        config.has_option("core", option) for option in ("default-scheduler-host", "default-scheduler-url")
    )
    if named or not config.has_option("core", "local_scheduler"):
        config.set("core", "local_scheduler", "false" if named or configured else "true")


def check_scheduler(arguments: list[str]) -> None:
    """End with one line where the luigid that is named does not answer: Luigi would try for a minute, in tracebacks."""
    config = configuration.get_config()
    if config.getboolean("core", "local_scheduler", True):
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("host", "localhost"), ("port", "8082"), ("url", "")):
        stated = config.get("core", f"default-scheduler-{name}", default)
        parser.add_argument(f"--scheduler-{name}", dest=name, default=stated)
    flags, _ = parser.parse_known_args(arguments)
    url = urlsplit(flags.url or f"http://{flags.host}:{flags.port}")
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.hostname:  # a socket file has none
            socket.create_connection((url.hostname, port), timeout=10).close()
    except (OSError, ValueError) as error:
        where = url.netloc.rpartition("@")[2]  # without a password
        raise SystemExit(
            f"error: no luigid answers at {where} ({error}); start it there, or name none"
        ) from None


def experiment() -> dict[str, str]:
    """The defaults for flags that [experiment] states, the nearest file's value for each."""
    stated: dict[str, str] = {}
    for file in reversed(config_files.in_force()):
        for name, text in _read(file).get("experiment", {}).items():
            try:
                stated[name] = expanded(meant(text))
            except DataError as error:
                refuse(
                    f"{config_files.place(file, 'experiment', name)}: [experiment] {name} = {text}: {error}"
                )
    return stated
