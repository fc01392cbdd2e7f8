"""Tasks whose flags know their defaults: the command line, luigi.cfg, the dataset, the flag."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any, ClassVar, TypeVar

import luigi
from luigi.cmdline_parser import CmdlineParser

from data.catalog import entries, sources
from tasks.setup import flags, settings
from tasks.setup.user_errors import refuse


class Flagged(luigi.Task):
    """A task whose flags know their defaults, also those that its dataset sets."""

    replaces: ClassVar[type[Flagged] | None] = None
    """The stage whose place this one takes where the dataset is ready-made (`clone` asks)."""

    neutral: ClassVar[dict[str, Any]] = {}
    """For each flag that joined this class later, the value under which all is done as it was before the flag existed.

    Written once and never changed, whatever the flag's default becomes: at that value the flag decides nothing, so
    what was made before it existed stays where it is. A subclass states its own and keeps those of its bases.
    """

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Luigi's own, with every flag that was not given filled in (see tasks/setup/flags.py for the order)."""
        check_settings()
        values = dict(super().get_param_values(params, args, kwargs))
        declared = dict(params)
        experiment = settings.experiment()
        order = sorted(values, key=lambda name: name not in ("dataset", "image_set"))  # these set others
        for name in order:
            if values[name] is None and isinstance(declared[name], flags.Flag):
                values[name] = cls.default_of(declared[name], name, values, experiment)
        flags.check_settled(values, declared)
        cls.check_flags(values)
        return [(name, values[name]) for name, _ in params]

    @staticmethod
    def default_of(flag: flags.Flag, name: str, values: dict[str, Any], stated: dict[str, str]) -> Any:
        """The value of a flag that is not given. `values` has the dataset or image set, `stated` is [experiment]."""
        if name in (settled := flags.settled(values)):
            return flag.parse(settled[name])
        if name in stated:
            return flag.parse(stated[name])
        if name != "dataset":
            for dataset in _datasets_of(values):
                if name in dataset.defaults:
                    return flag.parse(dataset.defaults[name])
        return flag.default

    @classmethod
    def check_flags(cls, values: dict[str, Any]) -> None:
        """Complete and refuse flags that depend on each other; here, a layer that was not named, and weights."""
        if "layer" in values:
            values["layer"] = flags.settled_layer(values["backbone"], values["layer"])
        if "weights" in values:
            flags.check_weights(values["weights"])

    def ignored(self) -> tuple[str, ...]:
        """Flags that change nothing under the values of the others."""
        return ()

    @classmethod
    def neutral_values(cls) -> dict[str, Any]:
        """`neutral` of the class and of all its bases."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            found |= vars(base).get("neutral", {})
        return found

    @cached_property
    def flags_read(self) -> dict[str, Any]:
        """The significant flags with their values, less the ignored ones."""
        declared, ignored = self.get_params(), self.ignored()
        return {
            name: getattr(self, name) for name, flag in declared if flag.significant and name not in ignored
        }

    @cached_property
    def deciding(self) -> dict[str, Any]:
        """The flags that decide the result, with their values: those read, less those at a neutral value."""
        neutral = self.neutral_values()
        return {
            name: value
            for name, value in self.flags_read.items()
            if name not in neutral or value != neutral[name]
        }

    def clone(self, cls: Any = None, **kwargs: Any) -> Any:
        """Luigi's own, except that --rerun is never handed on, and that a ready-made dataset has stages of its own."""
        dataset = kwargs.get("dataset", getattr(self, "dataset", None))
        if cls and dataset and sources.dataset(dataset).ready_made:
            cls = next((other for other in subclasses(Flagged) if other.replaces is cls), cls)
        return super().clone(cls, **({"rerun": False} | kwargs))


def _datasets_of(values: dict[str, Any]) -> list[entries.Dataset]:
    """The dataset whose defaults hold: the one named, or those that an image set belongs to."""
    if values.get("dataset"):
        return [sources.dataset(values["dataset"])]
    image_set = values.get("image_set")
    return [
        dataset
        for dataset in sources.catalog().datasets.values()
        if image_set in {split.image_set for split in dataset.splits.values()}
    ]


def check_settings() -> None:
    """Refuse, before any flag is read, unknown settings and flags that would reach one stage alone."""
    _check_luigi_cfg()
    if parser := CmdlineParser.get_instance():
        _check_command_line(parser)


@cache
def _check_luigi_cfg() -> None:
    stages = subclasses(Flagged)
    known = {name for cls in stages for name, flag in cls.get_params() if isinstance(flag, flags.Flag)}
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
    """The class and all that are made from it."""
    return {cls}.union(*(subclasses(child) for child in cls.__subclasses__()))
