"""`python -m pipeline backbones`: the networks that features can come from, and their layers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from data.base.errors import ModelError
from data.base.words import human_size, show
from data.catalog import sources
from models.backbones.names import BACKBONES, TIMM, TIMM_LAYERS, TORCHVISION, check_backbone, is_timm

HEAD = ("backbone", "layer", "a picture becomes", "shown at", "weights", "licence")


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern",
        nargs="?",
        default="",
        help="a name (all its layers; imports torch), or a pattern such as 'resnet*' or 'timm:vit*' (needs timm); "
        "without one, the table of this project",
    )


def backbones(flags: argparse.Namespace) -> int:
    """Print the table, the layers of one network, or the names that fit a pattern."""
    pattern = flags.pattern
    if is_timm(pattern):
        _show_timm(pattern)
    elif pattern in TORCHVISION:
        _show_network(pattern)
    elif pattern:
        _show_names(pattern)
    else:
        show(*_aligned([HEAD, *(row for name in BACKBONES for row in _rows(name))]))
        show(
            "",
            f"Beside these, any layer of {len(TORCHVISION) - len(BACKBONES)} others of torchvision, with --weights "
            "FILE or random:SEED: python -m pipeline backbones '*'",
            "Any network of timm, pip install -e '.[timm]': python -m pipeline backbones 'timm:*'",
        )
    return 0


def _rows(name: str) -> list[tuple[str, ...]]:
    """A row a layer of the table; what they share is in the first."""
    entry = BACKBONES[name]
    shared = f"{entry.size} x {entry.size}, {entry.interpolation}, whole", *_weights(name)
    layers = [(layer, " x ".join(map(str, known.shape))) for layer, known in entry.layers.items()]
    first, *others = layers
    return [(name, *first, *shared), *(("", *layer, "", "", "") for layer in others)]


def _weights(name: str) -> tuple[str, str]:
    """The size of the file of a network's weights, and its licence."""
    source = sources.weights(name)
    about = "" if source.bytes else "about "
    return about + human_size(source.size or 0), source.licence.split(":")[0]


def _show_network(name: str) -> None:
    from models.backbones.load import describe_transform
    from models.backbones.torchvision_networks import nodes

    if name in BACKBONES:
        show(*_aligned([HEAD, *_rows(name)]), "")
    show(
        f"transform: {describe_transform(name)}",
        f"nodes of torchvision that --layer takes: {' '.join(nodes(name))}",
    )


def _show_names(pattern: str) -> None:
    names = [name for name in sorted(TORCHVISION) if fnmatchcase(name, pattern)]
    if not names:
        check_backbone(pattern)
    show(*(f"{name}{'  (in the table)' if name in BACKBONES else ''}" for name in names))


def _show_timm(pattern: str) -> None:
    """timm's networks with what their configuration says of each; one that has weights has a tag."""
    check_backbone(pattern)
    from models.backbones.timm_networks import configuration, names

    fitting = [name for name in names() if fnmatchcase(TIMM + name, pattern)]
    if not fitting:
        raise ModelError(
            f"backbone: nothing of timm fits {pattern}; all: python -m pipeline backbones 'timm:*'"
        )
    pinned = sources.catalog().weights
    rows = [_timm_row(TIMM + name, configuration(TIMM + name), TIMM + name in pinned) for name in fitting]
    show(*_aligned([("backbone", "shown at", "pretrained", "licence"), *rows]))
    show("", f"Each has the layers {', '.join(TIMM_LAYERS)}, where it ends in places.")


def _timm_row(name: str, about: dict[str, Any], pinned: bool) -> tuple[str, ...]:
    size = (about.get("input_size") or ("?",))[-1]
    published = about.get("hf_hub_id") or about.get("url")
    weights = "pinned" if pinned else "sources --pin" if published else "none published"
    return (
        name,
        f"{size} x {size}, {about.get('interpolation', '?')}, whole",
        weights,
        about.get("license") or "?",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
