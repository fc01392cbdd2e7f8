"""Kill the tiny sample run again and again, for as long as you like, and compare the results: `make soak`.

A case is a folder of artifacts whose runs are disturbed several times (a run is killed, files are damaged between two
runs, one process is killed, one of two simultaneous runs is killed) and that one last run completes. It must end with
the bytes of an undisturbed run and leave no process and no file behind. Every case follows from the seed and its
number alone, so what it finds can be repeated:

    python bench/soak.py --minutes 10 --seed 1
    python bench/soak.py --seed 1 --case 17
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from faults.harness import KILLS, Blow, Run, Undisturbed, marked, undisturbed

MOMENTS = ("inside", "inside", "change", "change", "change", "clock")


class Case:
    """One folder's life. `counts`: kills, faults and runs; `wrong`: what went wrong."""

    def __init__(self, folder: Path, usual: Undisturbed, seed: int, number: int) -> None:
        self.rng = random.Random(f"{seed}-{number}")
        self.usual, self.folder = usual, folder
        self.run = Run(folder / "one", self.rng.choice([1, 1, 2, 4]))
        self.other = Run(folder / "other", self.rng.choice([1, 4]))
        self.other.artifacts = self.run.artifacts
        self.other.configure("")
        self.kills = self.faults = 0
        self.steps: list[str] = []
        self.wrong: list[str] = []

    def live(self) -> None:
        """All disturbances, then the last run; stops at the first thing that is wrong."""
        steps = [self.kill] * 9 + [self.damage, self.kill_a_child, self.two_at_once]
        for _ in range(self.rng.randint(6, 12)):
            self.rng.choice(steps)()
            if self.wrong:
                return
        self.wrong = self.run.finish(self.usual) + self.other.survivors()

    def blow(self, kind: str) -> Blow:
        """A kill while some artifact that was removed, or one after it, is made again."""
        name, whom = self.rng.choice(KILLS)
        order = list(self.usual.each)
        at = self.rng.randrange(len(order))
        self.run.forget(self.usual, order[at])
        share = self.rng.uniform(0, 1 if kind == "inside" else 1 - at / len(order))
        return Blow(kind, name, whom, round(share, 3), order[at] if kind == "inside" else "")

    def kill(self) -> None:
        blow = self.blow(self.rng.choice(MOMENTS))
        struck = self.run.strike(blow, self.usual)
        self.kills += struck.hit
        self.steps.append(f"{blow}: {struck.where}, code {struck.code}")
        self.wrong += self.run.check(struck, self.usual)

    def two_at_once(self) -> None:
        """One of two runs is killed: the other must not notice."""
        blow = self.blow("clock")
        unharmed = self.other.start()
        struck = self.run.strike(blow, self.usual)
        code = self.other.wait(unharmed)
        self.kills += struck.hit
        self.steps.append(f"two at once, {blow}: {struck.where}, code {struck.code}; the other's {code}")
        self.wrong += self.run.check(struck, self.usual) + self.other.survivors()
        if code:
            self.wrong.append(
                f"one of two runs was killed and the other ended with {code}:\n{self.other.said()}"
            )

    def kill_a_child(self) -> None:
        """Kill any one of the run's processes: the run fails, or succeeds, and does not hang."""
        process = self.run.start()
        end = time.monotonic() + self.rng.uniform(0, 1) * self.usual.seconds
        choice = self.rng.random()
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        children = sorted(number for number, _ in marked(self.run.mark) if number != process.pid)
        if children and process.poll() is None:
            try:
                os.kill(children[int(choice * len(children))], signal.SIGKILL)
                self.faults += 1
            except ProcessLookupError:
                pass
        code = self.run.wait(process)
        self.steps.append(f"one of {len(children)} children killed: code {code}")
        if code not in (0, 30):
            self.wrong.append(f"a child was killed, the run ended with {code}:\n{self.run.said()}")
        self.wrong += self.run.survivors()

    def damage(self) -> None:
        """Damage one file of a finished artifact and run `verify`, which marks damage that the size does not show."""
        files = sorted(path for path in self.run.artifacts.glob("[!.]*/[!.]*/**/*") if path.is_file())
        choice, how = self.rng.random(), self.rng.choice(["flip", "truncate", "delete"])
        if not files:
            return
        path = files[int(choice * len(files))]
        content = bytearray(path.read_bytes())
        if how == "delete":
            path.unlink()
        elif how == "truncate" or not content:
            path.write_bytes(content[: len(content) // 2])
        else:
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        self.faults += 1
        code = self.run.wait(self.run.start("pipeline", "verify"))
        name = path.relative_to(self.run.artifacts)
        self.steps.append(f"{how} {name}: verify {code}")
        if code == 0 and path.name != "manifest.json":
            self.wrong.append(f"verify did not see: {how} {name}")


def soak(seed: int, minutes: float, only: int | None, keep: Path) -> int:
    """Run cases until the time is over; 1 if any of them found a difference."""
    print(f"seed {seed}; an undisturbed run first", flush=True)
    usual = undisturbed(keep / "undisturbed")
    print(f"it took {usual.seconds:.1f} s, with {usual.changes} changes of files", flush=True)
    end, total, differing, number = time.monotonic() + 60 * minutes, Counter[str](), 0, only or 0
    while True:
        case = Case(keep / f"case-{number}", usual, seed, number)
        case.live()
        runs = case.run.runs + case.other.runs
        total.update(cases=1, kills=case.kills, faults=case.faults, runs=runs, differences=len(case.wrong))
        print(
            f"case {number}: {case.kills} kills, {case.faults} faults, {runs} runs: {case.wrong or 'the same'}",
            flush=True,
        )
        if case.wrong:
            differing += 1
            print("  " + "\n  ".join(case.steps))
            print(f"  kept in {case.folder}; again: make soak SEED={seed} CASE={number}", flush=True)
        else:
            shutil.rmtree(case.folder)
        number += 1
        if only is not None or time.monotonic() > end:
            break
    print(
        f"soak, seed {seed}: {total['cases']} cases, {total['kills']} kills, {total['faults']} other faults, "
        f"{total['runs']} runs, differences found: {total['differences']}"
    )
    return 1 if differing else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="no case begins after that")
    parser.add_argument("--seed", type=int, default=None, help="a new one each time where none is given")
    parser.add_argument("--case", type=int, default=None, help="only this one")
    flags = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if flags.seed is None else flags.seed
    keep = Path(tempfile.mkdtemp(prefix="vqa-soak-"))
    code = soak(seed, flags.minutes, flags.case, keep)
    if code == 0:
        shutil.rmtree(keep)
    return code


if __name__ == "__main__":
    sys.exit(main())
