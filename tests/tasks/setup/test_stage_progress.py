"""Progress: a figure for Luigi's page, a line now and then where there is no terminal."""

from __future__ import annotations

import logging
import re

import pytest

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
    assert stage.messages[-1].startswith("extract-features: ") and "of 100, loss 2.3" in stage.messages[-1]


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


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(stage_progress.sys.stderr, "isatty", lambda: True, raising=False)


@pytest.mark.parametrize(
    ("unit", "before", "since", "total"), [("questions", 900, 10, 1000), ("bytes", 0, 10, 20)]
)
def test_rate_and_time_left_count_from_where_the_last_run_stopped(terminal, unit, before, since, total):
    with StageProgress(object(), "train-model", unit) as tell:
        tell(before, total)
        tell(before + since, total)
        tell.bar.n, tell.bar.start_t = before + since, tell.bar.start_t - 5
        facts = tell.bar.format_dict
        assert (facts["n"] - facts["initial"]) / facts["elapsed"] == pytest.approx(since / 5, rel=0.2)
        line = str(tell.bar)
        left = (total - before - since) * 5 / since
        assert f" {unit}/s" in line and re.search(r"<(\d\d):(\d\d)", line)
        minutes, seconds = map(int, re.search(r"<(\d\d):(\d\d)", line).groups())
        assert left <= 60 * minutes + seconds <= 1.2 * left + 1


def test_another_piece_of_work_begins_anew(terminal):
    """A download is first hashed, as far as it has come, then goes on; from zero where its server says so."""
    with StageProgress(object(), "download-images", "bytes") as tell:
        for done, total, initial in ((10, 60, 10), (60, 60, 60), (60, 100, 60), (80, 100, 60), (5, 100, 5)):
            tell(done, total)
            assert tell.bar is None if done == total else tell.bar.initial == initial
        assert tell.bar.total == 100
    assert tell.bar is None


def test_a_log_says_what_is_counted(monkeypatch, caplog):
    monkeypatch.setattr(stage_progress, "SECONDS_TO_FIRST_LINE", 0.0)
    caplog.set_level(logging.INFO, "luigi-interface")
    StageProgress(object(), "train-model", "questions")(1500, 6000, "loss 2.3")
    assert "train-model: 1,500 of 6,000 questions, loss 2.3" in caplog.text
