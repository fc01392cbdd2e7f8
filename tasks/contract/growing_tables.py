"""Tables that grow with each data set, backbone or model: the part that one stage reads.

A new entry changes nothing for stages that read another one, so the digest of a stage's source tells entries apart.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from data.catalog import sources

CATALOG = "data/catalog/catalog.toml"
TABLES = {
    "models/backbones/names.py": ("backbone", {"BACKBONES", "TORCHVISION"}),
    "models/classifiers/names.py": ("model", {"CLASSIFIERS"}),
}
"""File: the flag that chooses an entry, and the names of its tables."""


def entry_only(text: str, tables: set[str], name: str) -> str:
    """A module's source without the entries of its tables but `name`, and without imports that only others need."""
    lines, entries = text.splitlines(), list[str]()
    imports: dict[str, str] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= _single_imports(node)
        elif (table := _table(node, tables)) is not None:
            entries += [ast.get_source_segment(text, value) or "" for value in _values(table, name)]
        else:
            continue
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = ""
    rest = "\n".join([*filter(None, lines), *entries])
    needed = [line for used, line in sorted(imports.items()) if re.search(rf"\b{used}\b", rest)]
    return "\n".join([*needed, rest])


def _single_imports(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Each name that a statement imports, with a statement that imports only this."""
    start = f"from {node.module} import" if isinstance(node, ast.ImportFrom) else "import"
    return {
        (alias.asname or alias.name).partition(".")[0]: f"{start} {ast.unparse(alias)}"
        for alias in node.names
    }


def _table(node: ast.stmt, tables: set[str]) -> ast.expr | None:
    """What a statement assigns to one of these names."""
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None
    return node.value if isinstance(target, ast.Name) and target.id in tables else None


def _values(table: ast.expr, name: str) -> list[ast.expr]:
    """The values of that key in a dict; nothing for a set of names, whose entries say no more than the flag does."""
    pairs = zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
    return [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == name]


def catalog_entries(flags: Mapping[str, Any]) -> str:
    """The entries of the catalog that these flags name, as text; entries that a user added are not our source.

    Defaults of other flags are left out: they stand in the flags.
    """
    known, used = sources.shared_catalog(), list[Any]()
    if dataset := known.datasets.get(flags.get("dataset", "")):
        used += [replace(dataset, defaults={}, models={})]
        used += [known.image_sets[split.image_set] for split in dataset.splits.values()]
    used += _named(known.image_sets, flags.get("image_set"))
    used += _named(known.gloves, flags.get("glove"))
    if flags.get("weights", "pretrained") == "pretrained":
        used += _named(known.weights, flags.get("backbone"))
    return json.dumps([asdict(entry) for entry in used], default=lambda path: path.name)


def _named(table: Mapping[str, Any], name: str | None) -> list[Any]:
    return [table[name]] if name and name in table else []
