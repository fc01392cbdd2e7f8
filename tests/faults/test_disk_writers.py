"""Every writer of a large file by itself, on a disk with any amount of room: the system's own error, no litter."""

from __future__ import annotations

import contextlib
import errno
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
from quiet_server import QuietServer
from small_disk import PAGE, small_disks

from data.base.errors import DataError
from data.catalog.entries import Source


@pytest.fixture
def disk(tmp_path):
    with small_disks(tmp_path / "disk") as make:
        yield make


def features(folder: Path) -> None:
    from data.pictures.feature_file import write_features

    blocks = (np.ones((20, 500), np.float16) for _ in range(5))
    names = [f"{number}.jpg" for number in range(100)]
    write_features(folder / "features.h5", blocks, range(100), names, (500,), {"backbone": "a"})


def arrays(folder: Path) -> None:
    from data.text.questions import EncodedQuestions, write_encoded

    ids = np.arange(500)
    tokens, lengths = np.ones((500, 26), np.int32), np.ones(500, np.int32)
    write_encoded(folder / "questions.h5", EncodedQuestions(tokens, lengths, ids, ids))


def tensors(folder: Path) -> None:
    import torch

    from models.tensors import write_tensors

    write_tensors({"weight": torch.ones(100, 200)}, folder / "model.safetensors")


def snapshot(folder: Path) -> None:
    import torch

    from models.training.snapshots import write_snapshot

    module = torch.nn.Linear(100, 100)
    optimiser = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 100)).sum().backward()
    optimiser.step()
    write_snapshot(folder, module, optimiser, [{"epoch": 1.0}], {"seed": 1})


def shard(folder: Path) -> None:
    from tasks.extraction.job import Arithmetic, Extraction
    from tasks.extraction.shard_files import write_shard
    from tasks.extraction.unfinished import lay_out

    images = types.SimpleNamespace(ids=np.arange(50), names=[f"{number}.jpg" for number in range(50)])
    extraction = Extraction(images, "a", ("b",), "random:0", "random:0", folder)  # type: ignore[arg-type]
    settings = Arithmetic("cpu", "", "float32", 1, 1, 256, "", "")
    file = lay_out(extraction, settings, "b", (500,), {"weights": "random:0"})
    write_shard(extraction, settings, 0, [file], np.ones((50, 500), np.float16), {}, {})


def sample(folder: Path) -> None:
    from data.sample.make_sample import make_sample

    make_sample(folder, pictures_train=2, pictures_val=1, seed=0)


def curves(folder: Path) -> None:
    from models.training.history import draw_curves

    draw_curves(folder / "curves.png", [{"epoch": 1.0, "loss": 1.0, "exact_match": 0.5}])


def events(folder: Path) -> None:
    from models.training.history import write_events

    write_events(folder / "events", [{"epoch": float(n), "loss": 1.0} for n in range(200)])


def results(folder: Path) -> None:
    from data.scoring.results import write_results

    write_results(folder / "results.json", range(500), ["yes"] * 500, range(500))


WRITERS = (features, arrays, tensors, snapshot, shard, sample, curves, events, results)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_writer_fails_by_name_at_any_amount_of_room_and_then_succeeds(disk, write):
    small = disk(8 << 20)
    failed, left = 0, 0
    while True:
        folder = small.path / "out"
        folder.mkdir()
        small.leave(left)
        try:
            write(folder)
            break
        except OSError as error:
            assert error.errno == errno.ENOSPC
        failed += 1
        assert not [path for path in folder.rglob("*") if path.name.startswith(".")], "litter"
        small.release()
        shutil.rmtree(folder)
        left += PAGE if left < 4 * PAGE else max(PAGE, left // 4 // PAGE * PAGE)
    assert failed > 1
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert written <= left


def test_a_download_stops_and_goes_on_where_it_was(disk, tmp_path):
    """The server tells no length, so nothing can be refused at the start."""
    small = disk(8 << 20)
    content = np.random.default_rng(0).bytes(3 << 20)
    with serving(content) as url:
        from data.download.fetch import download

        source = Source("the file", "file.bin", (url,))
        parts = small.path / "parts"
        small.leave(1 << 20)
        with pytest.raises(DataError, match=r"No space left on device; make room; what arrived is kept"):
            download(source, small.path / "out" / "file.bin", part_dir=parts)
        [part] = parts.glob("*.part")
        arrived = part.stat().st_size
        assert 0 < arrived <= 1 << 20 and not (small.path / "out" / "file.bin").exists()
        small.release()
        done = download(source, small.path / "out" / "file.bin", part_dir=parts)
    assert (small.path / "out" / "file.bin").read_bytes() == content
    assert done.transferred == len(content) - arrived and not list(parts.iterdir())


@contextlib.contextmanager
def serving(content: bytes):
    """A server on 127.0.0.1 that knows Range and an ETag, and sends without a length."""
    import threading
    from http.server import BaseHTTPRequestHandler

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", '"one"')
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(OSError):
                for at in range(start, len(content), 1 << 16):
                    piece = content[at : at + (1 << 16)]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    with QuietServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/file.bin"
        server.shutdown()


def test_what_training_asks_for_at_the_start_covers_what_it_writes(tmp_path):
    import torch

    from models.training.choices import OPTIMISERS
    from models.training.optimisers import make_optimiser
    from models.training.snapshots import KEPT, snapshot_bytes, write_snapshot

    for name in OPTIMISERS:
        module = torch.nn.Linear(200, 200)
        optimiser = make_optimiser(name, module, 0.1)
        module(torch.ones(1, 200)).sum().backward()
        optimiser.step()
        write_snapshot(tmp_path / name, module, optimiser, [{"epoch": 1.0}], {})
        written = sum(path.stat().st_size for path in (tmp_path / name).iterdir())
        assert abs((KEPT + 1) * written - snapshot_bytes(module, name)) < 10_000
