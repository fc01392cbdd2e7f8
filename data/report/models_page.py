"""Models side by side, each over its seeds, as a page and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.base.words import Lines
from data.report import views
from data.report.templates import render


def write_models(path: Path, comparison: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Write the page. comparison: as comparison.json; made: as made.json, {trainings, command}."""
    path.write_text(render_models(comparison, made), encoding="utf-8")


def render_models(comparison: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """The page as text; see `write_models`."""
    return render(
        "models.html.j2",
        comparison=comparison,
        made=made,
        when=views.when,
        finished=max((training["finished"] for training in made["trainings"]), default=0.0),
        rows=rows(comparison, made),
        types=answer_types(comparison),
        differing=differing([model["flags"] for model in comparison["models"]]),
        versions=versions(made["trainings"]),
        seeds=seeds_of(comparison),
    )


def rows(comparison: Mapping[str, Any], made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a model, best first: its figures, how many numbers it has, and the mean seconds of a training."""
    seconds: dict[str, list[float]] = {}
    for training in made["trainings"]:
        seconds.setdefault(training["model"], []).append(training["seconds"])
    return [
        {
            **model,
            "parameters": model["seeds"][0]["parameters"],
            "seconds": sum(seconds[model["name"]]) / len(seconds[model["name"]]),
        }
        for model in comparison["models"]
    ]


def answer_types(comparison: Mapping[str, Any]) -> list[str]:
    """All answer types that a model was judged by, by alphabet."""
    return sorted({kind for model in comparison["models"] for kind in model["perAnswerType"]})


def differing(flags: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Flags that are not the same for all models, with each model's value; '–' for what one does not read."""
    names = dict.fromkeys(name for of_model in flags for name in of_model if name not in ("model", "seed"))
    different = [(name, [of_model.get(name, "–") for of_model in flags]) for name in names]
    return [(name, values) for name, values in different if len({repr(value) for value in values}) > 1]


def versions(trainings: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What the models were made with; several values where it was not the same for all."""
    names = ("device", "precision", "threads", "host", "commit")
    all_of = [{**{name: training[name] for name in names}, **training["versions"]} for training in trainings]
    keys = dict.fromkeys(name for facts in all_of for name in facts)
    values_of = {
        name: dict.fromkeys(str(facts[name]) for facts in all_of if facts.get(name)) for name in keys
    }
    return [(name, ", ".join(values)) for name, values in values_of.items() if values]


def seeds_of(comparison: Mapping[str, Any]) -> list[int]:
    """How many seeds the models were trained with: one number, or several where they differ."""
    return sorted({len(model["seeds"]) for model in comparison["models"]})


def measured(figure: Mapping[str, Any] | None) -> str:
    """'76.05 ± 0.31'; without the deviation for one seed."""
    if figure is None:
        return "–"
    deviation = figure["deviation"]
    return f"{figure['mean']:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def format_models(comparison: Mapping[str, Any]) -> Lines:
    """The models and the differences of each two as text."""
    table = [["model", "seeds", "accuracy", "95 %", *answer_types(comparison), "parameters"]]
    for model in comparison["models"]:
        types = [measured(model["perAnswerType"].get(kind)) for kind in answer_types(comparison)]
        cells = [
            str(len(model["seeds"])),
            measured(model["overall"]),
            interval(model["overall"]["interval"]),
        ]
        table.append([model["name"], *cells, *types, f"{model['seeds'][0]['parameters']:,}"])
    part = [comparison["part"], ""] if comparison["part"] else []
    lines = [*part, *_aligned(table), ""]
    for pair in comparison["pairs"]:
        bounds = f" ({interval(pair['interval'], '+')})" if pair["interval"] else ""
        lines.append(
            f"{pair['better']} − {pair['other']}: {pair['difference']:+.2f}{bounds}{NOISE[pair['chance']]}"
        )
    return Lines(*lines)


NOISE = {"beyond": "", "within": ", within noise", "unknown": ", too few pictures to tell"}


def interval(bounds: Sequence[float] | None, sign: str = "") -> str:
    """'74.10 to 77.90', with signs for a difference."""
    return "–" if bounds is None else " to ".join(f"{bound:{sign}.2f}" for bound in bounds)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
