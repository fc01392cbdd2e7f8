"""Tasks with a part of an experiment: flags with the values in force."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, ClassVar, TypeVar

import luigi
from luigi.cmdline_parser import CmdlineParser

from data.catalog import sources
from tasks.setup import flags, settings
from tasks.setup.experiment import Experiment, about_size, resolve
from tasks.setup.user_errors import refuse


class Flagged(luigi.Task):
    """A task whose flags are a part of a resolved experiment."""

    replaces: ClassVar[type[Flagged] | None] = None
    """The stage whose place this one takes where the dataset is ready-made (`clone` asks)."""

    neutral: ClassVar[dict[str, Any]] = {}
    """For each flag that joined this class later, the value under which all is done as it was before the flag existed.

    Written once and never changed, whatever the flag's default becomes: at that value the flag decides nothing, so
    what was made before it existed stays where it is. A subclass states its own and keeps those of its bases.
    """

    of_whole: ClassVar[bool] = False
    """Whether what it makes for a dataset serves its parts too (`part_of`): --dataset is then the whole one."""

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Luigi's own, with every flag that was not given filled in (see tasks/setup/experiment.py)."""
        check_settings()
        values = dict(super().get_param_values(params, args, kwargs))
        values |= cls.resolved(values)
        if cls.of_whole:
            values["dataset"] = sources.dataset(values["dataset"]).whole
        cls.check_flags(values)
        return [(name, values[name]) for name, _ in params]

    @classmethod
    def resolved(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every declared flag with its value in force; `given` has those that were given, or None."""
        return resolve(cls.declared_flags(), given).values

    @classmethod
    def declared_flags(cls) -> dict[str, flags.Flag]:
        """The flags that decide something, by name, in the order in which they are shown."""
        return {name: flag for name, flag in cls.get_params() if isinstance(flag, flags.Flag)}

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved record of which this task has a part."""
        return Experiment({name: getattr(self, name) for name in self.declared_flags()})

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        """Refuse values that this task can't take together."""

    def remarks(self) -> list[str]:
        """For `plan`: what else is to be known before a run, a sentence each."""
        return about_size(self.declared_flags(), self.experiment.values, self.ignored())

    def ignored(self) -> tuple[str, ...]:
        """Flags that change nothing under the values of the others."""
        return ()

    @classmethod
    def neutral_values(cls) -> dict[str, Any]:
        """`neutral` of the class and of all its bases."""
        values: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            values |= vars(base).get("neutral", {})
        return values

    @cached_property
    def flags_read(self) -> dict[str, Any]:
        """The significant flags with their values, without the ignored ones."""
        ignored = self.ignored()
        return {name: value for name, value in self.experiment.values.items() if name not in ignored}

    @cached_property
    def deciding(self) -> dict[str, Any]:
        """The flags that decide the result, with their values: those read, without those at a neutral value, and those
        that stand in the key as the inputs that they choose."""
        neutral, declared = self.neutral_values(), self.declared_flags()
        return {
            name: value
            for name, value in self.flags_read.items()
            if declared[name].in_key and (name not in neutral or value != neutral[name])
        }

    def clone(self, cls: Any = None, **kwargs: Any) -> Any:
        """Luigi's own, except that --rerun is never passed on, and that a ready-made dataset has other stages."""
        dataset = kwargs.get("dataset", getattr(self, "dataset", None))
        if cls and dataset and sources.dataset(dataset).ready_made:
            cls = next((other for other in subclasses(Flagged) if other.replaces is cls), cls)
        return super().clone(cls, **({"rerun": False} | kwargs))


def check_settings() -> None:
    """Refuse, before any flag is read, unknown settings and flags that would reach only one stage."""
    _check_luigi_cfg()
    if parser := CmdlineParser.get_instance():
        _check_command_line(parser)


@cache
def _check_luigi_cfg() -> None:
    stages = subclasses(Flagged)
    known = {name for cls in stages for name in cls.declared_flags()}
    settings.check(known, {cls.__name__ for cls in stages})


@cache
def _check_command_line(parser: CmdlineParser) -> None:
    stages = {cls.__name__ for cls in subclasses(Flagged)}
    for name in vars(parser.known_args):
        stage, _, flag = name.partition("_")
        if stage in stages and getattr(parser.known_args, name):
            flag = flag.replace("_", "-")
            refuse(f"--{stage}-{flag} would not reach every stage that needs it; write --{flag}")


Made = TypeVar("Made")


def subclasses(cls: type[Made]) -> set[type[Made]]:
    """The class and all its subclasses."""
    return {cls}.union(*(subclasses(child) for child in cls.__subclasses__()))
