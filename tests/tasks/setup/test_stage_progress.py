"""Progress: a figure for Luigi's page, a line now and then where there is no terminal."""

from __future__ import annotations

import logging

from tasks.setup import stage_progress
from tasks.setup.stage_progress import StageProgress


class FakeStage:
    def __init__(self):
        self.percentages, self.messages = [], []
        self.set_progress_percentage = self.percentages.append
        self.set_status_message = self.messages.append


def test_luigi_is_told_but_not_at_every_step(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stage_progress.time, "monotonic", lambda: clock[0])
    stage = FakeStage()
    tell = StageProgress(stage, "extract-features")
    for done in range(1, 101):
        clock[0] += 0.1
        tell(done, 100, "loss 2.3")
    assert 5 <= len(stage.percentages) <= 10
    assert stage.messages[-1].startswith("extract-features: ") and "of 100 loss 2.3" in stage.messages[-1]


def test_a_log_gets_a_line_now_and_then(monkeypatch, caplog):
    clock = [0.0]
    monkeypatch.setattr(stage_progress.time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.INFO, "luigi-interface")
    tell = StageProgress(object(), "train-model")
    for done in range(60):
        clock[0] += 1.0
        tell(done, 60)
    assert 2 <= len([r for r in caplog.records if "train-model" in r.getMessage()]) <= 4


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(stage_progress.sys.stderr, "isatty", lambda: True, raising=False)
    tell = StageProgress(object(), "train-model")
    tell(1, 10, "loss 2.3")
    assert (tell.bar.n, tell.bar.total) == (1, 10)
    tell.close()
