"""The whole first run on real data, rehearsed: vqa-v2-mini from a server on 127.0.0.1 that has all of it, made up.

python -m bench.rehearsal                                            # what a user types, at 100 Mbit/s, on two cores
python -m bench.rehearsal --kill-at 150                              # kill -9 in the middle of the pictures, once more
python -m bench.rehearsal --scale 0.01 --limit-pictures 40,20        # a trial

Files have the official names, counts and sizes; zips of pictures are made as they are asked for. Further flags go to
the command. Memory is the sum of what is resident of each of its processes (/proc/PID/statm, five times a second):
libraries are counted for each process that has them, so it is a bound from above. Bytes are those of bodies that the
server sent. The installation is not in it, nor is the way to a real server: its latency, and what it allows. The exit
code is 1 where a figure is beyond BUDGET.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.rehearsal_files import make_files
from bench.rehearsal_server import Server
from data.base.errors import DataError
from data.catalog.sources import VARIABLE
from tasks.contract.manifest import MANIFEST, Manifest, parse

BUDGET = {"minutes": 15.0, "fetched, GB": 0.65, "fetched / different bytes": 1.2, "memory, GB": 2.5}
CORES = 2
EVERY = 0.2  # seconds


class Sample(NamedTuple):
    """At a time, seconds since 1970, the bytes that all processes took together."""

    time: float
    taken: int


class Rehearsal:
    """Commands in a folder of their own. `samples`: of their memory; `seconds`: how long each of them took."""

    def __init__(self, folder: Path, catalog: str) -> None:
        self.folder, self.samples, self.seconds = folder, list[Sample](), list[float]()
        folder.mkdir()
        (folder / "catalog.toml").write_text(catalog, encoding="utf-8")
        (folder / "luigi.cfg").write_text("[paths]\nartifacts = artifacts\n")
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("LUIGI_")
        }
        self.environment[VARIABLE] = str(folder / "catalog.toml")

    def run(self, command: Sequence[str], until: threading.Event | None = None) -> int:
        """Run a command to its end, or `until` it is to be killed; returns its exit code."""
        print("$", *command, flush=True)
        words = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        began = time.monotonic()
        process = subprocess.Popen(words, cwd=self.folder, env=self.environment, start_new_session=True)
        try:
            while process.poll() is None:
                self.samples.append(Sample(time.time(), sum(map(_taken, _session(process.pid)))))
                if until and until.is_set():
                    process.kill()
                time.sleep(EVERY)
            return process.returncode
        finally:
            self.seconds.append(time.monotonic() - began)
            for number in _session(process.pid):  # after a kill, or where this process is interrupted
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)

    def manifests(self) -> list[Manifest]:
        paths = self.folder.glob(f"artifacts/*/*/{MANIFEST}")
        return sorted((parse(path.read_bytes()) for path in paths), key=lambda made: made.started)

    def peak(self, *made: Manifest) -> int:
        """The most bytes taken while these artifacts were made; without any, ever."""
        times = [(manifest.started, manifest.finished) for manifest in made] or [(0.0, time.time())]
        return max(
            (at.taken for at in self.samples for start, end in times if start <= at.time <= end), default=0
        )


def _session(number: int) -> Iterator[int]:
    """The processes of a session that are alive."""
    for name in os.listdir("/proc"):
        try:
            if name.isdecimal() and os.getsid(int(name)) == number:
                yield int(name)
        except ProcessLookupError:
            continue


def _taken(number: int) -> int:
    """Bytes of a process that are resident."""
    try:
        pages = Path(f"/proc/{number}/statm").read_text().split()[1]
    except OSError:  # it has just ended
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--megabits", type=float, default=100, help="a second, of the server")
    parser.add_argument(
        "--scale", type=float, default=1, help="0.01 serves a hundredth of pictures and questions"
    )
    parser.add_argument("--kill-at", type=float, help="MB of pictures of train; then kill -9, and once more")
    parser.add_argument("--folder", type=Path, help="where everything is written, and removed")
    options, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        (served := Path(folder) / "served").mkdir()
        made = make_files(served, options.scale)
        with Server(made.served, options.megabits) as server:
            rehearsal = Rehearsal(Path(folder) / "run", made.catalog(server.url))
            within = rehearse(rehearsal, server, options.kill_at, flags)
    raise SystemExit(not within)


def rehearse(rehearsal: Rehearsal, server: Server, kill_at: float | None, flags: list[str]) -> bool:
    """Plan and run the command, and report; whether it ended well and within the budget."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # of this thread and what it starts
    words = ["--dataset", "vqa-v2-mini", *flags]
    rehearsal.run(["vqa", "plan", *words])
    rehearsal.seconds.clear()
    command = ["luigi", "--module", "pipeline", "RunAll", *words]
    if kill_at:
        killed = rehearsal.run(command, _reached(server, "train2014.zip", kill_at * 1e6))
        if killed != -signal.SIGKILL:
            raise DataError(f"--kill-at {kill_at:g}: the run ended with exit code {killed} before that")
    code = rehearsal.run(command)
    return report(rehearsal, server) and not code


def _reached(server: Server, name: str, size: float) -> threading.Event:
    """Set once so many bytes of a file have been sent."""
    event = threading.Event()

    def watch() -> None:
        while server.traffic[name].sent < size:
            time.sleep(EVERY)
        event.set()

    threading.Thread(target=watch, daemon=True).start()
    return event


def report(rehearsal: Rehearsal, server: Server) -> bool:
    """Print tables by stage and by file, and the sums beside the budget; whether they are within."""
    print_stages(rehearsal)
    print("\n| file | bytes sent |\n|---|---|")
    for name, traffic in server.traffic.items():
        print(f"| {name} | {traffic.sent:,} |")
    sent = sum(traffic.sent for traffic in server.traffic.values())
    different = sum(traffic.distinct for traffic in server.traffic.values())
    figures = (sum(rehearsal.seconds) / 60, sent / 1e9, sent / max(1, different), rehearsal.peak() / 1e9)
    print("\n| in all | | at most |\n|---|---|---|")
    for (name, most), value in zip(BUDGET.items(), figures, strict=True):
        print(f"| {name} | {value:.2f}{' (beyond)' if value > most else ''} | {most:g} |")
    return all(value <= most for most, value in zip(BUDGET.values(), figures, strict=True))


def print_stages(rehearsal: Rehearsal) -> None:
    """Seconds and memory by kind of stage, as the manifests tell when each was made."""
    print("\n| stage | seconds | memory at the most, GB |\n|---|---|---|")
    manifests = rehearsal.manifests()
    for stage in dict.fromkeys(made.key.stage for made in manifests):
        these = [made for made in manifests if made.key.stage == stage]
        peak = rehearsal.peak(*these)
        print(f"| {stage} | {sum(made.seconds for made in these):.1f} | {peak / 1e9:.2f} |")
    outside = sum(rehearsal.seconds) - sum(made.seconds for made in manifests)
    print(f"| outside the stages | {outside:.1f} | |")


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
