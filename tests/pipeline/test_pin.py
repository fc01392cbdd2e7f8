"""`sources --pin timm:NAME` against a hub on 127.0.0.1: the file by its commit, and the entry that pins it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler

import pytest
from commands import ROOT
from quiet_server import QuietServer

pytest.importorskip("timm", reason="timm is not installed: pip install -e '.[timm]'")
pytestmark = pytest.mark.slow  # timm is an extra

CONTENT, COMMIT = os.urandom(70_000), "0123456789abcdef0123456789abcdef01234567"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        if "/timm/resnet18.a1_in1k/resolve/" not in self.path:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-ETag", f'"{SHA256}"')
        self.send_header("X-Linked-Size", str(len(CONTENT)))
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        return None

    def do_GET(self):
        if self.path != f"/timm/resnet18.a1_in1k/resolve/{COMMIT}/model.safetensors":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)
        return None

    def log_message(self, *_):
        pass


def pin(name: str, folder, hub: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pipeline", "sources", "--pin", name]
    environment = {**os.environ, "HF_ENDPOINT": hub, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_entry_holds_commit_size_and_sha256(tmp_path):
    with QuietServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub = f"http://127.0.0.1:{server.server_port}"
        done = pin("timm:resnet18.a1_in1k", tmp_path, hub)
        absent = pin("timm:resnet34.a1_in1k", tmp_path, hub)
        server.shutdown()
    entry = tomllib.loads(done.stdout)["weights"]["timm:resnet18.a1_in1k"]
    assert entry == {
        "urls": [f"{hub}/timm/resnet18.a1_in1k/resolve/{COMMIT}/model.safetensors"],
        "file": "resnet18.a1_in1k.safetensors",
        "bytes": len(CONTENT),
        "sha256": SHA256,
        "licence": "apache-2.0",
    }
    assert (tmp_path / entry["file"]).read_bytes() == CONTENT and SHA256 in done.stderr
    assert absent.returncode == 1 and "Traceback" not in absent.stderr
    assert "the hub does not have timm/resnet34.a1_in1k/model.safetensors" in absent.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet18", "one of timm's networks"),
        ("timm:vit_base_patch16_18x2_224", "knows no weights"),
        ("timm:x", "no 'x'"),
    ],
)
def test_what_can_not_be_pinned_is_said(name, said, tmp_path):
    done = pin(name, tmp_path, "http://127.0.0.1:1")
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1
