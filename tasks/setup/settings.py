"""The settings of luigi.cfg that are ours: what there is, its default, and where a relative path starts.

Flags say *what* is computed and move an artifact's path; settings say *how* and never do. The one exception is
[experiment], which holds defaults for the flags themselves.
"""

from __future__ import annotations

import argparse
import configparser
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from luigi import configuration

from data.base import words
from data.base.errors import DataError
from data.catalog import sources
from tasks.setup.user_errors import nearest, refuse

PROJECT = Path(__file__).resolve().parents[2]


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _path(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    parse.__doc__ = " | ".join(names)
    return parse


@dataclass(frozen=True)
class Setting:
    default: str
    parse: Callable[[str], Any]
    expected: str


SETTINGS: dict[str, dict[str, Setting]] = {
    "paths": {"artifacts": Setting("data/artifacts", _path, "a folder")},
    "sources": {
        "mirror": Setting("", str, "file:///folder or http(s)://address, or nothing"),
        "datasets": Setting("", str, "TOML files with datasets of your own, separated by commas"),
    },
    "compute": {
        "device": Setting("auto", _one_of("auto", "cpu", "cuda"), "auto, cpu or cuda"),
        "precision": Setting("auto", _one_of("auto", "float32", "bfloat16"), "auto, float32 or bfloat16"),
        "threads": Setting("0", _count, "a whole number, 0 = one for each physical core"),
        "batch_size": Setting("0", _count, "a whole number, 0 = what suits the device"),
        "engine": Setting("local", _one_of("local", "ray"), "local or ray"),
        "ray_address": Setting("", str, "a Ray address, or nothing for a cluster on this machine"),
    },
    "features": {"max_bad_images": Setting("0", _count, "a whole number")},
}


LUIGIS = ("core", "worker", "scheduler", "resources", "retcode", "email", "execution_summary", "logging")
"""Luigi's own sections, which are not misspelt ones of ours."""


def get(section: str, option: str) -> Any:
    """The value in force of one of SETTINGS, parsed. Ends with one line where it can't be used."""
    setting = SETTINGS[section][option]
    try:
        text = configuration.get_config().get(section, option, setting.default).strip()
    except configparser.InterpolationError:  # %(name)s and ${name} are Luigi's; a lone % is an error
        refuse(f"[{section}] {option} in luigi.cfg: a % is read as the start of %(name)s; write %% for a %")
    try:
        return setting.parse(text)
    except ValueError:
        refuse(f"[{section}] {option} = {text!r} in luigi.cfg: expected {setting.expected}")


@dataclass(frozen=True)
class Compute:
    """How results are made: [compute], each option by its name. None of it is part of what they mean.

    device, precision: auto or a name; threads, batch_size: 0 = what suits the processor; engine: local or ray.
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
    stated = Path(os.path.expanduser(get("paths", "artifacts")))
    return stated if stated.is_absolute() else (_stated_in("paths", "artifacts").parent / stated)


def config_files() -> list[Path]:
    """The configuration files in force, nearest first: LUIGI_CONFIG_PATH, ./luigi.cfg, the project's own."""
    named = os.environ.get("LUIGI_CONFIG_PATH")
    files = [Path(named)] if named else []
    files += [Path("luigi.cfg"), PROJECT / "luigi.cfg"]
    return [file.resolve() for file in files if file.is_file()]


def _stated_in(section: str, option: str) -> Path:
    for file in config_files():
        if option in _read(file).get(section, {}):
            return file
    return PROJECT / "luigi.cfg"


@cache
def _read(file: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(file)
    return {name: dict(parser[name]) for name in parser.sections()}


def check(flags: set[str], stages: set[str]) -> None:
    """Refuse what nobody reads: unknown settings in our sections, and sections named after a stage.

    `flags`: the names that [experiment] may hold. A stage's own section (Luigi would read it) is refused because
    the stages below the root get their flags from it, so that the section would sometimes be ignored.
    """
    valid = {section: set(options) for section, options in SETTINGS.items()} | {"experiment": flags}
    for file in config_files():
        for section, options in _read(file).items():
            if section in stages:
                refuse(f"{file}: section [{section}] is not read; put its flags under [experiment]")
            if section not in {*valid, *LUIGIS} and (close := words.nearest(section, [*valid], cutoff=0.75)):
                refuse(f"{file}: unknown section [{section}]; did you mean [{close}]?")
            for option in options if section in valid else ():
                if option not in valid[section]:
                    hint = nearest(option, list(valid[section]))
                    refuse(f"{file}: unknown setting '{option}' in [{section}]; {hint}")
    for section, settings in SETTINGS.items():
        for option in settings:
            get(section, option)  # a value that can't be used ends here
    for name, dataset in sources.catalog().datasets.items():
        for flag in dataset.defaults.keys() - flags:
            refuse(f"unknown flag '{flag}' in the defaults of dataset {name}; {nearest(flag, list(flags))}")


def add_project_config() -> None:
    """Let Luigi read the project's luigi.cfg first, so that nearer files and what a program has set override it."""
    parser = configuration.get_config()
    ours = str(PROJECT / "luigi.cfg")
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
    """[paths] artifacts leads to a folder, or to nothing yet; else `verify` would find nothing wrong in it."""
    folder = artifacts_folder()
    if os.path.lexists(folder) and not folder.is_dir():
        refuse(f"[paths] artifacts = {folder}: is not a folder")


def add_datasets() -> None:
    """Put the files that `[sources] datasets` names beside the catalog: before flags are read, which ask for names."""
    stated = [name.strip() for name in get("sources", "datasets").split(",") if name.strip()]
    try:
        for name in stated:
            sources.add(_stated_in("sources", "datasets").parent / os.path.expanduser(name))
        if stated:
            sources.catalog()
    except DataError as error:
        refuse(str(error))


def choose_scheduler(arguments: list[str]) -> None:
    """Schedule in this process unless the command line or the user's configuration names a luigid.

    With `local_scheduler = true` in a file Luigi ignores --scheduler-host without a word, so no file of ours says it.
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
    for file in reversed(config_files()):
        stated |= _read(file).get("experiment", {})
    return stated
