"""`python -m pipeline backbones`: the table without torch, one network's layers, and what a run says of licences."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands import ROOT

from data.catalog import sources
from models.backbones.names import BACKBONES
from pipeline.__main__ import main


def test_the_table_has_every_layer_and_needs_no_torch():
    code = "import sys; from pipeline.__main__ import main; main(['backbones']); assert 'torch' not in sys.modules"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    head, *lines = shown.split("\n\n")[0].splitlines()
    assert head.split() == [
        "backbone",
        "layer",
        "a",
        "picture",
        "becomes",
        "shown",
        "at",
        "weights",
        "licence",
    ]
    assert len(lines) == sum(len(entry.layers) for entry in BACKBONES.values())
    (line,) = [line for line in lines if line.startswith("regnet_y_16gf")]
    assert (
        " 384 x 384, bicubic, whole " in line
        and "about 335 MB" in line
        and line.endswith("CC BY-NC 4.0 (SWAG)")
    )


def test_one_network_with_its_nodes(capsys):
    assert main(["backbones", "vit_b_16"]) == 0
    shown = capsys.readouterr().out
    assert (
        "14 x 14 x 768" in shown
        and " encoder.ln " in shown
        and "the whole picture resized to 224x224" in shown
    )


@pytest.mark.parametrize(
    ("pattern", "code", "said"),
    [
        ("*next50*", 0, "resnext50_32x4d\n"),
        ("resnet51", 1, "Did you mean 'resnet5"),
        ("nothing*", 1, "no 'nothing*'"),
    ],
)
def test_patterns(pattern, code, said, capsys):
    assert main(["backbones", pattern]) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_a_licence_that_forbids_a_use_is_known():
    assert sources.weights("vit_l_16").restriction == "CC BY-NC 4.0 (SWAG): not for commercial use"
    assert sources.weights("vgg16").restriction == ""
    assert (sources.weights("vit_l_16").size, sources.weights("vgg16").size) == (1_217_000_000, 553_433_881)
