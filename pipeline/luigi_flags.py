"""How Luigi reads a command line in our commands: one line for a mistake, and our own help of a stage.

`install` replaces two methods of Luigi's CmdlineParser. Only commands call it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, ClassVar

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.task_register import Register

from data.base.words import show
from pipeline.one_line_parser import OneLineParser
from pipeline.stage_help import list_stages, option, print_help, stages
from tasks.setup import luigi_settings
from tasks.setup.user_errors import UsageError, nearest

_luigis = CmdlineParser._build_parser, CmdlineParser._possibly_exit_with_help


class LuigiFlags(OneLineParser):
    """Luigi's parser; its own flags are checked before anything runs."""

    more: ClassVar[tuple[str, ...]] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """argparse's own; keeps the words, since Luigi would print help without the flags of any stage."""
        flags, rest = super().parse_known_args(args, namespace)
        flags.words = args
        return flags, rest

    def flags(self) -> list[str]:
        return [*super().flags(), *self.more]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        flags = super().parse_args(args, namespace)
        for section, plain, name, kind in Register.get_all_params():
            if section not in stages():
                flag = option(name if plain else f"{section}_{name}")
                self._check(flag, kind, getattr(flags, f"{section}_{name}"), (section, name))
        return flags

    def _check(self, flag: str, kind: luigi.Parameter, text: Any, name: tuple[str, str]) -> None:
        if not text or isinstance(text, bool):
            return
        try:
            kind.parse(text)
        except (ValueError, KeyError) as error:
            self.error(f"{flag} {text}: {luigi_settings.expected(kind) or error}")
        if why := luigi_settings.too_small(*name, text):
            self.error(f"{flag} {text}: {why}")

    def about_unknown(self, word: str) -> str:
        users = [name for name, cls in stages().items() if word in map(option, dict(cls.get_params()))]
        if users:
            return f"{word} is not a flag of this stage; it is one of {', '.join(users)}"
        return super().about_unknown(word)


def install(more: Sequence[str] = ()) -> None:
    """Let Luigi's command line report each mistake in one line, for the rest of this process.

    `more`: flags that may be typed besides those of Luigi and of the stage.
    """
    LuigiFlags.more = tuple(more)
    CmdlineParser._build_parser = staticmethod(_build_parser)
    CmdlineParser._possibly_exit_with_help = staticmethod(_answer)


def _build_parser(root_task: str | None = None, help_all: bool = False) -> OneLineParser:
    luigis = _luigis[0](root_task=root_task, help_all=help_all)
    return LuigiFlags(prog="luigi", parents=[luigis], add_help=False)


def _answer(parser: Any, flags: argparse.Namespace) -> None:
    """End here if help is asked for, or no existing stage is named."""
    name = flags.root_task
    if flags.core_help_all:
        _luigis[1](parser, flags)
    if flags.core_help and not name:
        show(list_stages())
        raise SystemExit
    check_stage(name)
    if flags.core_help:
        _print_help(parser, flags)


def _print_help(parser: Any, flags: argparse.Namespace) -> None:
    stage = Register.get_task_cls(flags.root_task)
    if stage not in stages().values():
        _luigis[1](parser, flags)
    try:
        print_help(stage, vars(parser.parse_known_args(flags.words)[0]))
    except UsageError as error:
        raise SystemExit(f"error: {error}") from None
    raise SystemExit


def check_stage(name: str | None) -> None:
    """End with one line unless this is a stage."""
    if not name:
        raise SystemExit(
            "error: no stage is named; type `luigi --module pipeline RunAll` for all of it, "
            "or `luigi --module pipeline --help` for the stages"
        )
    if name not in Register.task_names():
        raise SystemExit(
            f"error: no stage is called '{name}'; {nearest(name, list(stages()))} "
            "(type: luigi --module pipeline STAGE [flags])"
        )
