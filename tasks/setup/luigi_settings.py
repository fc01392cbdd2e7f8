"""The sections of luigi.cfg that are Luigi's own, checked with Luigi's parameters before it reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import luigi
from luigi.task_register import Register

from tasks.setup import config_files
from tasks.setup.user_errors import refuse

EXPECTED = {
    luigi.IntParameter: "a whole number",
    luigi.FloatParameter: "a number",
    luigi.BoolParameter: "true or false",
}

AT_LEAST_ONE = (("core", "workers"), ("resources", "device"))
"""With 0 of these no stage would ever run."""


def check() -> None:
    """Refuse, with file and line, a value that Luigi can't read, or with which nothing would run."""
    known = _parameters()
    for file in config_files.in_force():
        for section, options in config_files.sections(file).items():
            for option, text in options.items() if section in config_files.LUIGIS else ():
                if why := _why_not(section, option, text, known):
                    refuse(
                        f"{config_files.place(file, section, option)}: [{section}] {option} = {text}: {why}"
                    )


def expected(parameter: luigi.Parameter) -> str:
    """What a parameter of Luigi's accepts, in words; "" where there are none."""
    if isinstance(parameter, luigi.ChoiceParameter):
        return f"expected one of {', '.join(sorted(parameter._choices))}"
    return next((f"expected {words}" for cls, words in EXPECTED.items() if isinstance(parameter, cls)), "")


def _parameters() -> dict[tuple[str, str], luigi.Parameter]:
    """By section and option, under every name that Luigi looks for."""
    known = {}
    for section, _, name, parameter in Register.get_all_params():
        known[section, name] = parameter
        if other := getattr(parameter, "_config_path", None):
            known[other["section"], other["name"].replace("-", "_")] = parameter
    return known


def _why_not(section: str, option: str, text: str, known: dict[tuple[str, str], luigi.Parameter]) -> str:
    option = option.replace("-", "_")
    parameter = luigi.IntParameter() if section == "resources" else known.get((section, option))
    if parameter is None or "%" in text or "$" in text:
        return ""
    return too_small(section, option, text) if _parses(parameter.parse, text) else expected(parameter)


def _parses(parse: Callable[[str], Any], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, KeyError):
        return False
    return True


def too_small(section: str, option: str, text: str) -> str:
    """What was expected where a number is too small for anything to run, else ""."""
    return "expected at least 1" if (section, option) in AT_LEAST_ONE and int(text) < 1 else ""
