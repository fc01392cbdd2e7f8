"""What a stage leaves is collected, also where Python itself looks for garbage rarely."""

from __future__ import annotations

import subprocess
import sys

from commands import ROOT

TORCH = """
import sys
from types import SimpleNamespace
sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(empty_cache=lambda: None))
"""
STAGES = """
import gc, weakref
from data.base.garbage import collect_rarely, give_back_memory
collect_rarely()

class Model:
    def __init__(self):
        self.me = self

def build(fails):
    model = Model()
    left.append(weakref.ref(model))
    if fails:
        raise OSError("disk full")

def stage(fails):
    try:
        build(fails)
    finally:
        give_back_memory()

left = []
gc.disable()
for fails in (True, False, False):
    try:
        stage(fails)
    except OSError:
        pass
    print(gc.get_freeze_count() > 1_000, left[-1]() is None)
give_back_memory()
print([model() for model in left])
"""


def test_models_of_stages_go_and_what_stays_is_looked_through_once():
    """While a stage fails, its error still has the model; that isn't kept for ever."""
    run = subprocess.run([sys.executable, "-c", TORCH + STAGES], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.splitlines() == [
        "False False",
        "True True",
        "True True",
        "[None, None, None]",
    ], run.stderr


OTHERS = """
import gc
threshold = gc.get_threshold()
import pipeline
from data.base.garbage import give_back_memory
give_back_memory()
print(gc.get_threshold() == threshold, gc.get_freeze_count())
"""


def test_another_program_s_collector_is_left_as_it_is():
    run = subprocess.run([sys.executable, "-c", TORCH + OTHERS], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "True 0\n", run.stderr
