"""A task of ours from the words of a command line, for the commands that take one."""

from __future__ import annotations

import luigi
from luigi.cmdline_parser import CmdlineParser


def task_from(arguments: list[str]) -> luigi.Task:
    """A task of ours from a command line as Luigi takes it; RunAll where none is named."""
    if not arguments or arguments[0].startswith("-"):
        arguments = ["RunAll", *arguments]
    try:
        with CmdlineParser.global_instance(["--module", "pipeline", *arguments]) as parser:
            return parser.get_task_obj()
    except luigi.task_register.TaskClassException as error:
        raise SystemExit(f"error: {error}") from None
