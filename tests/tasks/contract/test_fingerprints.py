"""Artifacts stay where they are: the fingerprint of every stage of RunAll, written down.

Features of COCO are 25 to 200 GB and hours of work, so nobody may move their path by accident. Whoever moves a path
bumps the `version` of that stage alone, names it in CHANGELOG.md, and writes the new fingerprint here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import RunAll
from tasks.contract.graph import walk

KNOWN = json.loads(Path(__file__).with_name("fingerprints.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("dataset", KNOWN)
def test_no_stage_has_moved(dataset, artifacts):
    stages = {
        f"{stage.stage_name()} {stage.slug}": stage.fingerprint for stage in walk(RunAll(dataset=dataset))
    }
    assert stages == KNOWN[dataset]
