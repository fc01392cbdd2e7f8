"""What a run costs that has nothing to do: `luigi --module pipeline RunAll` beside plain Luigi's hello-world.

python bench/startup.py        # after `make run`; prints the median of interleaved runs and their ratio
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELLO = """
import luigi

class Hello(luigi.Task):
    def output(self):
        return luigi.LocalTarget("hello.txt")

    def run(self):
        with self.output().open("w") as file:
            file.write("hello")
"""


def seconds(command: list[str], folder: Path, **extra: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=os.environ | extra, check=True, capture_output=True)
    return time.perf_counter() - began


def main(runs: int = 15) -> None:
    luigi = str(Path(sys.executable).parent / "luigi")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hello.py").write_text(HELLO)
        plain = [luigi, "--module", "hello", "Hello", "--local-scheduler"]
        ours = [luigi, "--module", "pipeline", "RunAll"]
        took: dict[str, list[float]] = {"hello-world": [], "RunAll": []}
        for run in range(runs + 1):
            pair = {
                "hello-world": seconds(plain, folder, PYTHONPATH=name),
                "RunAll": seconds(ours, folder),
            }
            for kind, value in pair.items() if run else ():  # the first warms the disk's cache
                took[kind].append(value)
    medians = {kind: statistics.median(values) for kind, values in took.items()}
    ratios = [ours / plain for plain, ours in zip(took["hello-world"], took["RunAll"], strict=True)]
    for kind, value in medians.items():
        print(f"{kind:12} {value:.3f} s (median of {runs})")
    print(f"ratio        {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
