"""The parts of bench.gpu_check that check results: the tests, and what two runs have in common, bit by bit."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from bench.gpu_report import Report
from bench.gpu_sizes import EXTRACTION, TRAINING, Place

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TESTS = "tests (`pytest -k gpu`)"
EPOCHS = 2


def tests(report: Report, at: Place) -> None:
    """The tests whose names speak of GPUs."""
    report.attempt(TESTS, ("pytest",), lambda: _run_tests(report, at))


def _run_tests(report: Report, at: Place) -> None:
    files, results = files_about_gpus(ROOT / at.sizes.tests), at.folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-k", "gpu", "--continue-on-collection-errors"]
    command += ["-p", "no:cacheprovider", f"--junitxml={results}", *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not results.exists():
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    tell_tests(report, results)


def files_about_gpus(where: Path) -> list[Path]:
    """Test files with gpu in the name of a test: only these, so that no other has to be importable here."""
    paths = sorted(where.rglob("test_*.py")) if where.is_dir() else [where]
    return [path for path in paths if re.search(r"(def test_|ids?=).*gpu", path.read_text(encoding="utf-8"))]


def tell_tests(report: Report, results: Path) -> None:
    """A row of counts, and one for each test that failed or whose file can't be imported here."""
    counts: dict[str, int] = {}
    cases = list(_cases(results))
    for kind, _, _ in cases:
        counts[kind] = counts.get(kind, 0) + 1
    report.add(TESTS, ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none found")
    for kind, name, why in cases:
        if why:
            report.add(name, why, failed=kind == "failed")


def _cases(results: Path) -> Iterator[tuple[str, str, str]]:
    """passed, skipped, failed or left out; the test's name; why it failed or is left out."""
    for case in ElementTree.parse(results).iter("testcase"):
        fault = next((child for child in case if child.tag in ("failure", "error")), None)
        name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
        if fault is None:
            yield "passed" if case.find("skipped") is None else "skipped", name, ""
            continue
        text = f"{fault.get('message', '')}\n{fault.text or ''}".strip()
        absent = re.search(r"No module named '[\w.]+'", text)
        if absent:
            yield "left out", name, f"left out: {absent[0]}"
        else:
            yield "failed", name, text.splitlines()[0]


def same_features(report: Report, at: Place) -> None:
    """Two extractions of the same pictures."""
    report.attempt("extraction twice", EXTRACTION, lambda: _extract_twice(report, at))


def _extract_twice(report: Report, at: Place) -> None:
    from bench.pictures import make_folder

    sizes = at.sizes
    pictures = make_folder(at.folder / "pictures", sizes.pictures, sizes.width, sizes.height)
    first, second = (_features_digest(at, pictures, name) for name in ("first", "second"))
    if first == second:
        report.add("extraction twice", f"equal: features.h5 has the same bytes (sha256 {first[:16]}...)")
    else:
        report.add("extraction twice", f"features.h5 differs: {first[:16]}..., {second[:16]}...", failed=True)


def _features_digest(at: Place, pictures: Path, name: str) -> str:
    from tasks.extraction.standalone import extract_pictures

    out = at.folder / f"{name}.h5"
    room = at.folder / name
    room.mkdir()
    extract_pictures(
        pictures, out, room, at.sizes.backbone, [at.sizes.layer], device=at.device, batch=at.sizes.batch
    )
    return hashlib.sha256(out.read_bytes()).hexdigest()


def same_training(report: Report, at: Place) -> None:
    """Two trainings of the same questions, each in a process of its own, and what their models answer."""
    report.attempt("training twice", TRAINING, lambda: _train_twice(report, at))


def _train_twice(report: Report, at: Place) -> None:
    from models.devices import pick_device

    first, second = (_in_a_process(at) for _ in range(2))
    said, equal = compare_runs(first, second)
    promised = pick_device(at.device).type == "cpu"
    report.add("training twice", said, failed=promised and not equal)


def _in_a_process(at: Place) -> dict[str, np.ndarray]:
    """Train in a new process, as the next run would."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_trained, at).result()


def _trained(at: Place) -> dict[str, np.ndarray]:
    """By name: weights, each epoch's loss, and probabilities of answers."""
    import numpy as np

    from bench.training_ways import architecture, make_arrays, train_ours
    from models.prediction import predict

    sizes = at.sizes
    a = make_arrays(at.folder, min(sizes.rows, 2000), sizes.repeated)
    model = architecture(sizes.hidden, sizes.joint)
    trained = train_ours(a, sizes.repeated, model, at.device, EPOCHS)
    results = {name: weight.numpy() for name, weight in trained.module.state_dict().items()}
    results["loss of each epoch"] = np.array([row["loss"] for row in trained.history])
    answers = predict(trained.module, a.tokens, a.rows, a.features, device=at.device)
    return results | {"probabilities of the answers": answers.top_probabilities}


def compare_runs(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> tuple[str, bool]:
    """What two runs have in common, in words, and whether they are the same to the last bit."""
    import numpy as np

    differ = [name for name in first if first[name].tobytes() != second[name].tobytes()]
    if not differ:
        return f"equal: all {len(first) - 2} weights, each epoch's loss, all predictions", True
    most = max(float(np.abs(first[name].astype(float) - second[name]).max()) for name in differ)
    equal = [name for name in first if name not in differ]
    return (
        f"{len(equal)} of {len(first)} arrays equal ({', '.join(equal) or 'none'}); others by up to {most:.1e}",
        False,
    )
