"""A task of ours from the words of a command line, for the commands that take one."""

from __future__ import annotations

from luigi.cmdline_parser import CmdlineParser

from pipeline import luigi_flags
from pipeline.one_line_parser import OneLineParser
from tasks.contract.flagged import Flagged

BETWEEN_ROOTS = "\0"
"""What stands for `--` between two tasks: nobody can type it, and argparse gives it no meaning."""


def split_roots(words: list[str]) -> list[list[str]]:
    """The words of each task: `RunAll -- RunAll --dataset vqa-v1` → two lists."""
    roots: list[list[str]] = [[]]
    for word in words:
        if word == BETWEEN_ROOTS:
            roots.append([])
        else:
            roots[-1].append(word)
    return roots


def task_from(words: list[str], command: OneLineParser) -> Flagged:
    """A task of ours from a command line as Luigi takes it; RunAll where none is named.

    Ends with one line where the words can't be read; `command` has the flags of the command itself.
    """
    if not words or words[0].startswith("-"):
        words = ["RunAll", *words]
    if any(word.partition("=")[0] == "--module" for word in words):
        command.error("--module is for luigi, as in luigi --module pipeline RunAll; leave it out here")
    luigi_flags.install(command.flags())
    with CmdlineParser.global_instance(words) as parser:
        root: Flagged = parser.get_task_obj()
        return root
