"""The digest of a stage's source: it follows the modules that the stage uses, and no others."""

from __future__ import annotations

import pipeline
from tasks.contract import source


def test_it_reaches_through_imports_and_leaves_out_the_rest():
    names = {path.name for path in reached(pipeline.ExtractFeatures)}
    assert {"extract.py", "shards.py", "load.py", "decoding.py", "image_sets.py"} <= names
    assert not {"loop.py", "glove.py"} & names


def test_a_changed_module_changes_it(monkeypatch, tmp_path):
    before = source.source_digest(pipeline.BuildEmbeddings)
    assert before == source.source_digest(pipeline.BuildEmbeddings)
    changed = tmp_path / "glove.py"
    changed.write_text("# another reader\n")
    real = source._imports

    def imports(path):
        return tuple(changed if one.name == "glove.py" else one for one in real(path))

    monkeypatch.setattr(source, "_imports", imports)
    assert source.source_digest(pipeline.BuildEmbeddings) != before


def reached(stage):
    import sys
    from pathlib import Path

    seen, pending = set(), [Path(sys.modules[stage.__module__].__file__)]
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending += source._imports(path)
    return seen
