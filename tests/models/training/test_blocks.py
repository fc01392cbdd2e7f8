"""Training from a table that stays on the disk: each question once, each row read once, the same bits after a kill."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.base import storage
from data.base.errors import DataError, ModelError
from models import feature_table
from models.classifiers.architecture import Architecture
from models.feature_table import Features, channel_statistics
from models.stored_rows import StoredRows
from models.training import blocks
from models.training.blocks import BlockRows, EpochRows, block_pictures, epoch_rows
from models.training.inputs import Trained, TrainingData, TrainingOptions
from models.training.loop import train

PICTURES, QUESTIONS, ANSWERS, GRID = 99, 350, 6, (2, 2, 8)
ROW = 2 * 2 * 8 * 2  # bytes of a picture
OPTIONS = TrainingOptions(epochs=3, batch_size=16, seed=1)
MODEL = Architecture("saaa", 40, 12, ANSWERS, GRID, hidden=16, joint=24, dropout=0.3)
CPU = torch.device("cpu")


def small_blocks() -> None:
    """Blocks of 24 pictures, of which three neighbours come together; two rows a read."""
    blocks.BLOCK_BYTES, blocks.RUNS, feature_table.READ_BYTES = 24 * ROW, 8, 2 * ROW


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    torch.set_num_threads(1)
    for module, name in (
        (blocks, "BLOCK_BYTES"),
        (blocks, "RUNS"),
        (feature_table, "READ_BYTES"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back in the end
    small_blocks()


def table(folder: Path) -> np.memmap:
    """A table in a file, at an odd place in it."""
    path, rng = folder / "features", np.random.default_rng(3)
    if not path.exists():
        path.write_bytes(b"head." * 3 + rng.normal(size=(PICTURES, *GRID)).astype(np.float16).tobytes())
    return np.memmap(path, np.float16, "r", 15, (PICTURES, *GRID))


def data(features: object) -> TrainingData:
    rng = np.random.default_rng(4)
    tokens = np.zeros((QUESTIONS, 26), np.int32)
    for row, length in zip(tokens, rng.integers(1, 9, QUESTIONS), strict=True):
        row[26 - length :] = rng.integers(1, 40, length)
    rows = rng.permutation(np.resize(np.arange(PICTURES), QUESTIONS))  # each picture at least three times
    return TrainingData(tokens, rows, features, (tokens[:, -1] % ANSWERS).astype(np.int32))  # type: ignore[arg-type]


def run(
    features: object, options: TrainingOptions = OPTIONS, model: Architecture = MODEL, **more: object
) -> Trained:
    vectors = np.random.default_rng(9).normal(size=(40, 12)).astype(np.float32)
    return train(data(features), model, vectors, options, device="cpu", precision="float32", **more)  # type: ignore[arg-type]


def digest(trained: Trained) -> str:
    tensors = trained.module.state_dict().items()
    return hashlib.sha256(
        b"".join(name.encode() + value.numpy().tobytes() for name, value in tensors)
    ).hexdigest()


@pytest.fixture
def reads(monkeypatch) -> np.ndarray:
    """How often each row was read from the file."""
    counts, read = np.zeros(PICTURES, int), StoredRows.read

    def counted(self: StoredRows, first: int, out: np.ndarray) -> None:
        counts[first : first + len(out)] += 1
        read(self, first, out)

    monkeypatch.setattr(StoredRows, "read", counted)
    return counts


def order(features: Features, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    shuffled = np.random.default_rng(seed).permutation(QUESTIONS)
    with epoch_rows(features, shuffled, data(None).rows, 24, seed) as opened:
        return opened.questions, opened.blocks if isinstance(opened, BlockRows) else []


def test_an_epoch_has_each_question_once_those_of_a_block_together_and_neighbours_in_one_block(tmp_path):
    features, rows = Features(table(tmp_path), CPU), data(None).rows
    assert block_pictures(features, 16) == 24
    questions, found = order(features, seed=5)
    assert sorted(questions) == list(range(QUESTIONS))
    assert sorted(np.concatenate(found)) == list(range(PICTURES)) and [*map(len, found)] == [
        24,
        24,
        24,
        24,
        3,
    ]
    block_of = np.empty(PICTURES, int)
    for number, block in enumerate(found):
        block_of[block] = number
    assert (np.diff(block_of[rows[questions]]) >= 0).all()
    together = block_of.reshape(-1, 3)
    assert (together == together[:, :1]).all()
    assert any(np.ptp(block) > 60 for block in found)  # pictures from all over the table


def test_the_order_depends_on_seed_and_table_alone(tmp_path):
    features = Features(table(tmp_path), CPU)
    questions, _ = order(features, 5)
    assert np.array_equal(questions, order(features, 5)[0])
    assert not np.array_equal(questions, order(features, 6)[0])
    features.resident = torch.from_numpy(np.array(table(tmp_path)))  # on a GPU that has room for it
    assert np.array_equal(questions, order(features, 5)[0])
    assert block_pictures(features, 16) == 24


def test_what_is_in_memory_or_no_larger_than_a_block_is_shuffled_as_a_whole(tmp_path):
    mapped = table(tmp_path)
    assert block_pictures(Features(np.array(mapped), CPU), 16) == block_pictures(None, 16) == 0
    assert block_pictures(Features(mapped[:24], CPU), 16) == 0
    assert block_pictures(Features(mapped, CPU), 50) == 50  # a batch never needs more than two blocks
    with epoch_rows(Features(mapped, CPU), np.arange(9), np.arange(9), 0, 1) as opened:
        assert opened.questions.tolist() == list(range(9))


@pytest.mark.parametrize("batch", [1, 7, 24])
def test_batches_get_their_rows_and_each_row_is_read_once(tmp_path, reads, batch):
    mapped, rows = table(tmp_path), data(None).rows
    parts = [np.array(mapped[:11]), mapped[11:]]  # one part in memory, one in the file, from its 12th row on
    shuffled = np.random.default_rng(0).permutation(QUESTIONS)
    with epoch_rows(Features(parts, CPU), shuffled, rows, 24, 2) as opened:
        assert isinstance(opened, BlockRows)
        for start in range(0, QUESTIONS, batch):
            wanted = rows[opened.questions[start : start + batch]]
            assert np.array_equal(opened.gather(wanted).numpy(), mapped[wanted])
    assert (reads[: PICTURES - 11] == 1).all()
    assert opened.facts()["seconds_waited_for_rows"] > 0


def test_an_epoch_of_training_reads_each_row_once_and_standardising_once_more(tmp_path, reads):
    run(table(tmp_path))
    assert (reads == OPTIONS.epochs).all()
    reads[:] = 0
    run(table(tmp_path), model=replace(MODEL, standardise=True))
    assert (reads == OPTIONS.epochs + 1).all()
    reads[:] = 0
    run(table(tmp_path), replace(OPTIONS, epochs=1, limit=10))
    assert reads.sum() == len(np.unique(data(None).rows[:10]))  # those that are asked about


def test_rows_by_blocks_train_the_same_model_as_rows_in_memory_in_that_order(tmp_path, monkeypatch):
    model = replace(MODEL, standardise=True)
    found = run(table(tmp_path), model=model)
    assert found.facts["block_pictures"] == 24
    assert digest(found) != digest(run(np.array(table(tmp_path)), model=model))  # shuffled as a whole
    monkeypatch.setattr(blocks, "BlockRows", lambda features, questions, _: EpochRows(features, questions))
    monkeypatch.setattr(Features, "_take", lambda self, rows: np.array(table(tmp_path))[rows])
    assert digest(found) == digest(run(table(tmp_path), model=model))


def test_statistics_are_the_same_from_the_disk_and_from_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_table, "BLOCK_BYTES", 7 * ROW)
    mapped = table(tmp_path)
    on_disk, in_memory = (
        channel_statistics(Features(rows, CPU), np.arange(2, 90)) for rows in (mapped, np.array(mapped))
    )
    assert all(torch.equal(one, other) for one, other in zip(on_disk, in_memory, strict=True))


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
import test_blocks as t
t.torch.set_num_threads(1)
t.small_blocks()
folder = Path({folder!r})
epochs = []
def each(history):
    epochs.append(len(history))
def tell(done, total, note):
    if epochs == [1] and done > 1.3 * total / 3 and {stop}:
        print("second epoch", flush=True)
        t.time.sleep(60)
trained = t.run(t.table(folder), snapshot_dir=folder / "snapshots", each_epoch=each, progress=tell)
print(t.digest(trained), trained.facts["resumed_after_epochs"])
"""


def child(folder: Path, stop: bool) -> subprocess.Popen[str]:
    """Trains with snapshots; with `stop` it says where it is in the second epoch and stays there."""
    paths = [str(Path(blocks.__file__).parents[2]), str(Path(__file__).parent)]
    code = CHILD.format(paths=paths, folder=str(folder), stop=stop)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], text=True, env=environment, **pipes)  # type: ignore[call-overload]


@pytest.mark.slow
def test_killed_in_the_second_epoch_it_ends_at_the_same_bits(tmp_path):
    whole = digest(run(table(tmp_path)))
    killed = child(tmp_path, stop=True)
    assert killed.stdout and killed.stdout.readline() == "second epoch\n"
    killed.kill()
    killed.communicate()
    out, errors = child(tmp_path, stop=False).communicate(timeout=60)
    assert out.split() == [whole, "1"], errors


def test_ctrl_c_in_an_epoch_ends_the_process(tmp_path):
    stopped = child(tmp_path, stop=True)
    assert stopped.stdout and stopped.stdout.readline() == "second epoch\n"
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=20)
    assert stopped.returncode != 0 and "KeyboardInterrupt" in errors


def test_snapshots_of_another_order_are_refused(tmp_path):
    run(table(tmp_path), replace(OPTIONS, epochs=1), snapshot_dir=tmp_path / "snapshots")
    blocks.BLOCK_BYTES = 50 * ROW
    with pytest.raises(ModelError, match=r"differs in block_pictures\."):
        run(table(tmp_path), snapshot_dir=tmp_path / "snapshots")
    with pytest.raises(ModelError, match=r"differs in block_pictures\."):
        run(np.array(table(tmp_path)), snapshot_dir=tmp_path / "snapshots")


def none_left() -> bool:
    """Whether no thread reads rows any more."""
    gc.collect()
    deadline = time.monotonic() + 10
    while (
        left := any(t.name.startswith("rows") for t in threading.enumerate())
    ) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not left


def test_a_file_cut_short_in_an_epoch_ends_training_in_one_line_and_no_thread_is_left(tmp_path):
    mapped = table(tmp_path)
    cut = lambda history: os.truncate(tmp_path / "features", 15 + 60 * ROW + 5)  # noqa: E731
    with pytest.raises(DataError, match=rf"features: ends at byte {15 + 60 * ROW + 5:,}; expected") as raised:
        run(mapped, each_epoch=cut)
    assert "\n" not in str(raised.value)
    del raised
    assert none_left()


def test_a_disk_that_fails_ends_training_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PAUSES", (0, 0, 0))
    preadv, count = os.preadv, [0]

    def failing(*arguments: object) -> int:
        count[0] += 1
        if count[0] > 70:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(DataError, match="can't be read: Input/output error, 4 times"):
        run(table(tmp_path))
    assert none_left()


def test_a_read_that_fails_once_or_comes_in_pieces_is_not_noticed(tmp_path, monkeypatch):
    whole = digest(run(table(tmp_path)))
    monkeypatch.setattr(storage, "PAUSES", (0, 0, 0))
    preadv, lock, count = os.preadv, threading.Lock(), [0]

    def piecewise(handle: int, buffers: list[memoryview], offset: int) -> int:
        with lock:
            count[0] += 1
            fails = count[0] % 9 == 0
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return preadv(handle, [buffers[0][:50]], offset)

    monkeypatch.setattr(os, "preadv", piecewise)
    assert digest(run(table(tmp_path))) == whole


def test_a_row_that_is_not_finite_is_named(tmp_path):
    mapped = table(tmp_path)
    with (tmp_path / "features").open("r+b") as file:
        file.seek(15 + 77 * ROW)
        file.write(np.float16(np.inf).tobytes())
    with pytest.raises(ModelError, match="the first is row 77"):
        run(mapped)


def test_progress_says_how_much_of_the_time_it_waits(tmp_path):
    notes: list[str] = []
    trained = run(table(tmp_path), progress=lambda done, total, note: notes.append(note))
    assert "% waiting for the disk" in notes[-1]
    assert all(row["seconds_waited_for_rows"] > 0 for row in trained.history)
    run(np.array(table(tmp_path)), progress=lambda done, total, note: notes.append(note))
    assert "waiting" not in notes[-1]
