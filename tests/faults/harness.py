"""Runs of the tiny sample that are killed, and what is left in the end beside an undisturbed one."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from commands import ROOT, TinyShell
from processes import is_running

from tasks.contract.manifest import parse

HOOKS = Path(__file__).resolve().parent / "hooks"
PATIENCE = 280.0  # seconds after which a run counts as hanging
GRACE = 20.0  # seconds in which what a killed process has started must have ended
KILLS = (
    *(("SIGKILL", "main"), ("SIGKILL", "group"), ("SIGTERM", "main"), ("SIGTERM", "group")),
    ("SIGINT", "group"),  # what Ctrl-C does
)


@dataclass(frozen=True)
class Blow:
    """A signal and its moment.

    kind `inside`: while `artifact` is being built, after this share of the time that it takes undisturbed; `change`:
    just before a change of the artifacts folder, this share of an undisturbed run's changes from the run's start;
    `clock`: after this share of an undisturbed run's time. whom: `main` (the process that
    was started) or its whole `group`.
    """

    kind: str
    signal: str
    whom: str
    share: float
    artifact: str = ""

    def __str__(self) -> str:
        moment = f"{self.kind} {self.artifact}".strip()
        return f"{self.signal} to {self.whom}, {moment} {self.share:.3f}"


@dataclass(frozen=True)
class Struck:
    """What a blow did. code: of the run; hit: it was still running; where: what was under way."""

    code: int
    hit: bool
    where: str


@dataclass(frozen=True)
class Undisturbed:
    """A whole run that nothing happened to: seconds of all and of each artifact in the order in which they were begun,
    and how many changes of files there were."""

    artifacts: Path
    seconds: float
    changes: int
    each: dict[str, float]
    temporary: set[str]


def undisturbed(folder: Path) -> Undisturbed:
    """Make the run that others are compared with."""
    run = Run(folder)
    started = time.monotonic()
    assert run.wait(run.start(VQA_COUNT=str(run.counter), VQA_BELOW=str(run.artifacts))) == 0, run.said()
    seconds = time.monotonic() - started
    manifests = {path.parent: parse(path.read_bytes()) for path in run.artifacts.glob("*/*/manifest.json")}
    each = {
        path.relative_to(run.artifacts).as_posix(): manifest.seconds
        for path, manifest in sorted(manifests.items(), key=lambda item: item[1].started)
    }
    left = {path.name for path in run.temporary.iterdir()}
    return Undisturbed(run.artifacts, seconds, run.counter.stat().st_size, each, left)


class Run(TinyShell):
    """A folder of artifacts in which runs are started one after another, and what they have left running."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self.workers = workers
        self.mark = f"{folder}-{time.time_ns()}"
        self.counter, self.log = folder / "changes", folder / "log"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.runs = 0

    def environment(self, **extra: str) -> dict[str, str]:
        more = {"VQA_MARK": self.mark, "TMPDIR": str(self.temporary), "PYTHONPATH": f"{HOOKS}:{ROOT}"}
        return super().environment(**more | extra)

    def start(self, *words: object, **extra: str) -> subprocess.Popen[Any]:  # type: ignore[override]
        """RunAll, or another command, in a session of its own; what it says goes to `log`."""
        self.runs += 1
        self.counter.unlink(missing_ok=True)
        words = words or ("luigi", "RunAll", "--workers", self.workers)
        with self.log.open("ab") as log:
            log.write(f"\n--- {' '.join(map(str, words))}\n".encode())
            log.flush()
            return subprocess.Popen(
                self.command(*words),
                cwd=self.folder,
                env=self.environment(**extra),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, process: subprocess.Popen[Any]) -> int:
        """Its exit code; -999 and an end where it hangs."""
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return -999

    def said(self) -> str:
        """What the last command said."""
        return self.log.read_text(errors="replace").rsplit("\n--- ", 1)[-1]

    def builds(self, artifact: str = "") -> set[str]:
        """Temporary folders, as STAGE/NAME, that are being built, or that something dead has left; of all artifacts
        or of one."""
        stage, name = artifact.split("/") if artifact else ("*", "")
        return {
            f"{path.parent.name}/{path.name[5:]}" for path in self.artifacts.glob(f"{stage}/.tmp-{name}*")
        }

    def survivors(self, grace: float = GRACE) -> list[str]:
        """Processes of this folder's runs that still live `grace` seconds after."""
        deadline = time.monotonic() + grace
        while (alive := list(marked(self.mark))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [f"process {number} outlived its run: {words}" for number, words in alive]

    # -- blows ----------------------------------------------------------------------------------

    def strike(self, blow: Blow, usual: Undisturbed, process: subprocess.Popen[Any] | None = None) -> Struck:
        """Start a run (or take one that was started) and kill it; waits until it has ended."""
        number = getattr(signal, blow.signal)
        if blow.kind == "change":
            at = max(1, round(blow.share * usual.changes))
            process = self.start(
                VQA_COUNT=str(self.counter),
                VQA_BELOW=str(self.artifacts),
                VQA_KILL=f"{at} {number.value} {blow.whom}",
            )
            code, said = self.wait(process), Path(f"{self.counter}.at")
            where = said.read_text().replace(str(self.artifacts) + "/", "") if said.exists() else ""
            said.unlink(missing_ok=True)
            return Struck(code, bool(where) and code != 0, where)
        if blow.artifact:
            self.forget(usual, blow.artifact)
        before = self.builds()
        process = process or self.start()
        if self._reach(process, blow, usual, before):
            where = " ".join(sorted(build.split("/")[0] for build in self.builds() - before))
            (os.kill if blow.whom == "main" else os.killpg)(process.pid, number)
            code = self.wait(process)
            return Struck(code, code != 0, where or "between stages")
        return Struck(self.wait(process), False, "ended before")

    def _reach(
        self,
        process: subprocess.Popen[Any],
        blow: Blow,
        usual: Undisturbed,
        before: set[str],
    ) -> bool:
        """Wait for the blow's moment; False where the process ends before."""
        delay = blow.share * (usual.each[blow.artifact] if blow.artifact else usual.seconds)
        deadline = time.monotonic() + PATIENCE
        while blow.artifact and not self.builds(blow.artifact) - before:
            if process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.0002)  # some stages take two milliseconds
        end = time.monotonic() + delay
        while time.monotonic() < end:
            if process.poll() is not None:
                return False
            time.sleep(min(0.005, max(0.0, end - time.monotonic())))
        return process.poll() is None

    def forget(self, usual: Undisturbed, artifact: str) -> None:
        """Remove an artifact, and those that an undisturbed run begins after it: so that it must be built."""
        order = list(usual.each)
        for name in order[order.index(artifact) :]:
            shutil.rmtree(self.artifacts / name, ignore_errors=True)

    def check(self, struck: Struck, usual: Undisturbed) -> list[str]:
        """What is wrong right after a blow."""
        wrong = self.survivors()
        if struck.code == -999:
            wrong.append(f"hung for {PATIENCE:g} s: {struck.where}\n{self.said()}")
        if struck.code == 0 and (absent := missing(usual.artifacts, self.artifacts)):
            wrong.append(f"exit code 0, but {absent[0]} is not there\n{self.said()}")
        return wrong

    # -- the end --------------------------------------------------------------------------------

    def finish(self, usual: Undisturbed) -> list[str]:
        """One run to the end, then gc: all in which the folder then differs from the undisturbed one."""
        for words in ((), ("pipeline", "gc", "RunAll", "--yes"), ("pipeline", "verify")):
            if code := self.wait(self.start(*words)):
                return [f"{' '.join(words) or 'the last run'} ended with {code}:\n{self.said()}"]
        names = {path.name for path in self.temporary.iterdir()}
        left = [f"left in TMPDIR: {name}" for name in sorted(names - usual.temporary)]
        return self.survivors() + left + differences(usual.artifacts, self.artifacts)


# Of `share`. Runs of one folder go on from each other, and after one that ends there is nothing left to disturb.
LATEST = {"inside": 1.05, "change": 0.3, "clock": 0.5}


def blows(seed: str, kind: str, count: int, each: Iterable[str] = ()) -> list[Blow]:
    """Seeded blows of one kind, every sort of kill about equally often; `inside` the artifacts in `each`, in turn."""
    rng = random.Random(seed)
    sorts = [KILLS[number % len(KILLS)] for number in range(count)]
    rng.shuffle(sorts)
    where = list(each) or [""] * count
    return [
        Blow(kind, name, whom, round(rng.uniform(0, LATEST[kind]), 3), where[number])
        for number, (name, whom) in enumerate(sorts)
    ]


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """(pid, command) of every living process that was started with this mark in its environment."""
    wanted = f"VQA_MARK={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0") and is_running(int(entry.name)):
                    yield int(entry.name), (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue


def copy_of(usual: Undisturbed, folder: Path, without: tuple[str, ...] = (), workers: int = 1) -> Run:
    """The undisturbed run's artifacts in a folder of their own, without some stages, or some of their artifacts
    (STAGE/PATTERN), and without their work."""
    run = Run(folder, workers)
    shutil.copytree(usual.artifacts, run.artifacts, symlinks=True)
    for name in without:
        for pattern in (name if "/" in name else f"{name}/*", f".work/{name.split('/')[0]}-*"):
            for path in run.artifacts.glob(pattern):
                shutil.rmtree(path)
    return run


# ------------------------------------------------------------------------------------------ the same in the end

# Compared by what is not a time, a speed, or the folder's own place. Everything else byte by byte.
TIMES = ("manifest.json", "history.csv", "report.html", "events.out.tfevents*", "epoch-*.json")


def missing(usual: Path, result: Path) -> list[str]:
    """Artifacts of one folder that the other does not have."""
    return [
        str(path.relative_to(usual))
        for path in sorted(usual.glob("[!.]*/[!.]*"))
        if not (result / path.relative_to(usual) / "manifest.json").is_file()
    ]


def differences(usual: Path, result: Path) -> list[str]:
    """Every file that only one of the folders has, or whose content differs beyond times."""
    ours, theirs = _files(usual), _files(result)
    wrong = [f"not there: {name}" for name in sorted(ours.keys() - theirs.keys())]
    wrong += [f"left over: {name}" for name in sorted(theirs.keys() - ours.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        if _content(ours[name]) != _content(theirs[name]):
            wrong.append(f"other bytes: {name}")
    return wrong


def _files(folder: Path) -> dict[str, Path]:
    """{name: path} of all that is not a folder, and of empty folders that are not a stage's or .work; events have their
    time in the name."""
    files = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink() and (_stays(path, folder) or any(path.iterdir())):
            continue
        files[re.sub(r"tfevents\.\d+$", "tfevents", name)] = path
    return files


def _stays(path: Path, folder: Path) -> bool:
    """A stage's folder, and .work at the top or in one: a kill just before it is removed leaves it there, empty."""
    return path.parent == folder or path.name == ".work"


def _content(path: Path) -> object:
    """What must be equal."""
    if path.is_dir():
        return "a folder"
    if not any(fnmatch(path.name, pattern) for pattern in TIMES):
        return path.read_bytes()
    if path.name.startswith("events"):
        return "events"  # times all through
    text = re.sub(r'"path": ".*/artifacts/', '"path": "', path.read_text(encoding="utf-8"))
    if path.suffix == ".csv":
        return [(row["epoch"], row["loss"], row["exact_match"]) for row in csv.DictReader(text.splitlines())]
    if path.suffix == ".html":  # it lists the stages as they were built: when, by which commit, how fast
        text = re.sub(r'width="[\d.]+%"|[-\d]+ \d\d:\d\d UTC|<dt>commit</dt>\s*<dd.*?</dd>', "", text)
        text = re.sub(r"(\d+ (h|min) )?[\d.,]+ (s|min|bytes|kB|MB)\b", "", text)
        return sorted(re.split("<details|</details>", text))
    return _without_times(json.loads(text))


def _without_times(value: Any) -> Any:
    """JSON without what says when, how fast, after how many epochs a killed run went on, and by which commit."""
    vary = {"started", "finished", "seconds", "samples_per_second"}
    vary |= {"resumed_after_epochs", "commit", "source"}
    if isinstance(value, dict):
        kept = {name: _without_times(inner) for name, inner in value.items() if name not in vary}
        for name in [name for name in kept if any(fnmatch(Path(name).name, pattern) for pattern in TIMES)]:
            del kept[name]  # an extra's size and hash
        return kept
    return [_without_times(inner) for inner in value] if isinstance(value, list) else value
