"""luigi.cfg as people write it: found, decoded, and checked before Luigi reads it. Luigi is not imported here."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.base.errors import DataError
from data.base.files import SETTINGS_BYTES, read_plain
from data.base.settings_text import decode

PROJECT = Path(__file__).resolve().parents[2]
INSTALLED = not (PROJECT / "pyproject.toml").is_file()
"""Does the package lie among others (`pip install .`), and not in a folder of its own, as cloned?"""
OURS = Path(__file__).with_name("luigi.cfg") if INSTALLED else PROJECT / "luigi.cfg"
"""The project's own settings; pyproject.toml has them put here where it is installed."""
VARIABLE = "LUIGI_CONFIG_PATH"
LUIGIS_FILES = ("/etc/luigi/client.cfg", "/etc/luigi/luigi.cfg", "client.cfg", "luigi.cfg")
"""What Luigi reads besides."""

LUIGIS = ("core", "worker", "scheduler", "resources", "retcode", "email", "execution_summary", "logging")
"""Luigi's own sections. It takes their values as they stand."""

_SETTING = re.compile(r"\[[^\]]+\]$|[\w-]+\s*=")
_COMMENT = re.compile(r"(?:^|[ \t]+)[#;].*$", re.MULTILINE)
_QUOTED = re.compile(r"""(?:"([^"]*)"|'([^']*)'|“([^”]*)”)(?:\s*[#;].*)?""")


def check() -> None:
    """DataError, before Luigi is imported, for a file that can't be read or does not mean what it seems to say."""
    if (parser := os.environ.get("LUIGI_CONFIG_PARSER", "cfg")) not in ("cfg", "conf", "ini"):
        raise DataError(
            f"LUIGI_CONFIG_PARSER = {parser}: settings are read from luigi.cfg; unset the variable"
        )
    if named := os.environ.get(VARIABLE):
        if named.endswith(".toml"):
            raise DataError(f"{VARIABLE}: {named}: expected a file that is written and named as luigi.cfg is")
        try:
            _check(Path(named))
        except DataError as error:
            raise DataError(f"{VARIABLE}: {error}") from None
    for file in (*LUIGIS_FILES, OURS):
        if os.path.lexists(file):
            _check(Path(file))


def in_force() -> list[Path]:
    """The files with settings of ours, nearest first: LUIGI_CONFIG_PATH, ./luigi.cfg, the project's own."""
    named = os.environ.get(VARIABLE)
    files = [Path(named)] if named else []
    files += [Path("luigi.cfg"), OURS]
    return [file.resolve() for file in files if file.is_file()]


def sections(file: Path) -> dict[str, dict[str, str]]:
    """A file's settings by section, as written. DataError with file, line and remedy."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(_text(file))
    except configparser.Error as error:
        raise DataError(f"{file}{_slip(error)}") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def place(file: Path, section: str, option: str = "") -> str:
    """`luigi.cfg, line 7`: where a file states a section, or an option in it."""
    inside = False
    for number, line in enumerate(_text(file).split("\n"), start=1):
        if header := configparser.RawConfigParser.SECTCRE.match(line):
            inside = header["header"] == section
        stated = header if not option else re.match(rf"\s*{re.escape(option)}\s*[=:]", line)
        if inside and stated:
            return f"{file}, line {number}"
    return str(file)


def meant(text: str) -> str:
    """A value without a comment after it and quotation marks around it; all between the marks is kept."""
    text = text.strip()
    if quoted := _QUOTED.fullmatch(text):
        return next(part for part in quoted.groups() if part is not None)
    return _COMMENT.sub("", text).strip()


@contextmanager
def decoded_for_luigi() -> Iterator[None]:
    """While Luigi is imported, which reads its files then: a byte order mark is skipped, UTF-16 decoded."""
    read = configparser.RawConfigParser.read

    def decoding(self: configparser.RawConfigParser, files: Any, encoding: str | None = None) -> list[str]:
        files = [files] if isinstance(files, str | os.PathLike) else files
        done = [str(file) for file in files if os.path.isfile(file)]
        for file in done:
            self.read_string(_text(Path(file)), file)
        return done

    configparser.RawConfigParser.read = decoding  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        configparser.RawConfigParser.read = read  # type: ignore[method-assign]


def _text(file: Path) -> str:
    return decode(file, read_plain(file, SETTINGS_BYTES))


def _check(file: Path) -> None:
    _check_headings(file)
    for section, options in sections(file).items():
        for option, text in options.items():
            _check_indents(file, section, option, text)
            if section in LUIGIS and (why := _not_for_luigi(section, text)):
                raise DataError(f"{place(file, section, option)}: [{section}] {option} = {text}: {why}")


def _check_headings(file: Path) -> None:
    for number, line in enumerate(_text(file).split("\n"), start=1):
        if match := re.match(r"\[[^\]]+\]\s*([^\s#;].*)", line):
            raise DataError(
                f"{file}, line {number}: `{match[1]}` is on the line of a heading; write it below that"
            )


def _check_indents(file: Path, section: str, option: str, text: str) -> None:
    """An indented line continues the value above it, whatever it looks like."""
    swallowed = [line for line in text.split("\n")[1:] if _SETTING.match(line)]
    if swallowed:
        lines = _text(file).split("\n")
        number = next(n for n, line in enumerate(lines, 1) if line.strip() == swallowed[0])
        raise DataError(
            f"{file}, line {number}: `{swallowed[0]}` is indented, so that it belongs to {option} above; "
            "begin it where that begins"
        )


def _not_for_luigi(section: str, text: str) -> str:
    """What Luigi could not read in a value of its own sections."""
    if meant(text) != text.strip():
        return "Luigi takes this literally; put the comment on a line of its own, and no quotation marks"
    unset = [name for name in re.findall(r"\$\{([^}]+)\}", text) if name not in os.environ]
    if unset:
        return f"the environment has no variable {unset[0]}"
    lone = "%" in re.sub(r"%%|%\([^)]+\)s", "", text)
    return "write %% for a %" if lone and section not in ("email", "logging") else ""


def _slip(error: Exception) -> str:
    """Where a configuration can't be parsed, and what mends it."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f", line {error.lineno}: is before the first [section]; put one above it, such as [paths]"
    if isinstance(error, configparser.DuplicateSectionError):
        return f", line {error.lineno}: [{error.section}] is there twice; put its settings under one heading"
    if isinstance(error, configparser.DuplicateOptionError):
        return f", line {error.lineno}: {error.option} is in [{error.section}] twice; leave one of them"
    assert isinstance(error, configparser.ParsingError)
    number, text = error.errors[0]  # up to Python 3.12 the line's repr
    shown = str(text).strip().strip("'").removesuffix("\\n")
    return f", line {number}: expected `name = value` or [section], found `{shown}`"
