"""What tests of pages share: judged questions, texts made to hurt, and a real browser that looks at a page."""

from __future__ import annotations

import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from data.report.report_data import Judged

# Each would mark the page that runs it: as a script, on a broken picture, as a link's or a style's trick.
EVIL = (
    "</script><script>document.documentElement.dataset.harmed=1</script>"
    '<img src=x onerror="document.documentElement.dataset.harmed=2"> & "quoted" \'single\' {{ 7 * 7 }}'
)


def judged(number, prediction="red", consensus="red", humans=None, **others):
    values = {
        "question_id": number,
        "image_id": number % 7,
        "question": "What color is the star?",
        "question_type": "what color is the",
        "answer_type": "other",
        "humans": humans or [consensus] * 10,
        "consensus": consensus,
        "prediction": prediction,
        "top": [(prediction, 0.7), ("2", 0.2), ("no", 0.004)],
    }
    return Judged(**values | others)


def jpeg(image_id=0):
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), (image_id, 90, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


_FRAME = """<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<iframe src="{page}" style="border:0;width:{width}px;height:900px"></iframe><pre id="found">nothing</pre>
<script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => setTimeout(() => {{
  const view = frame.contentWindow, page = view.document;
  const say = (value) => document.getElementById("found").textContent = JSON.stringify(value);
  try {{ say((() => {{ {script} }})()); }} catch (error) {{ say(String(error)); }}
}}, 300));
</script>"""


def look(page: Path, script: str, width: int = 1280) -> object:
    """What a JavaScript function body returns that sees `page` (its document) and `view` (its window).

    The page is opened from its file as it is, its policy in force, in a frame of the given width; the function runs
    outside of it. Skips where there is no Chromium.
    """
    frame = page.with_name(f"frame-{width}.html")
    frame.write_text(_FRAME.format(page=page.name, width=width, script=script), encoding="utf-8")
    seen = _chromium(
        page, "--allow-file-access-from-files", "--window-size=1400,1000", "--dump-dom", frame.as_uri()
    )
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', seen, re.DOTALL)
    return json.loads(html.unescape(found))


def printed(page: Path) -> bytes:
    """The page as a PDF. Skips where there is no Chromium."""
    paper = page.with_suffix(".pdf")
    _chromium(page, f"--print-to-pdf={paper}", page.as_uri())
    return paper.read_bytes()


def _chromium(page: Path, *words: str) -> str:
    """What it prints, run with a profile beside the page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs chromium")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --virtual-time-budget=5000"
    )
    command = [chromium, *flags.split(), f"--user-data-dir={page.with_name('profile')}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


# Which elements are wider than the page, and whether an injected script has run.
OVERFLOW = "return [page.documentElement.scrollWidth, page.documentElement.clientWidth];"
HARM = "return [page.documentElement.dataset.harmed ?? '', page.querySelectorAll('script').length];"
