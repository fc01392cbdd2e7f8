"""Memory and time of opening a zip of many pictures: in the first process, and in further ones that share its index.

python -m bench.zips                       # 100,000 and 1,000,000 members, each made here
python -m bench.zips --members 5000        # another number
python -m bench.zips --zip photos.zip      # a zip of yours

The figures are the kernel's (/proc/self), of a process before and after. `making`: the most that was resident while the
index was made. `open`: what stays, shared arrays included and pages of programs not, when all ids and names were read.
`further`: what a process that is handed the pictures takes for itself beside what it shares, after the same and
100 pictures.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from data.base.errors import DataError
from data.base.files import FILE_BYTES, check_plain
from data.pictures.image_sets import Images, open_images

BUDGET = {"making": 250.0, "open": 100.0, "further": 10.0}  # MB for a million members
PICTURE = bytes(range(256))  # opening decodes nothing


def make_zip(path: Path, members: int) -> Path:
    """A zip of stored members under names as COCO has them, 40 characters each."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            archive.writestr(f"train2014/COCO_train2014_{number:012}.jpg", PICTURE)
    return path


def status(field: str) -> float:
    """MB, by a line of /proc/self/status or smaps_rollup."""
    for file in ("status", "smaps_rollup"):
        if match := re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self", file).read_text(), re.MULTILINE):
            return int(match[1]) * 1024 / 1e6
    raise DataError(f"this system does not tell {field} in /proc/self")


def kept() -> float:
    return status("RssAnon") + status("RssShmem")


def own() -> float:
    return status("Private_Clean") + status("Private_Dirty")


def visit(images: Images) -> None:
    """Read what there is of ids and names, and some pictures."""
    assert len(images) == images.ids.size == sum(1 for name in images.names if name)
    for row in range(0, len(images), max(1, len(images) // 100)):
        images.read(row)


def first(path: Path) -> dict[str, float]:
    """What the first process takes, and a further one."""
    before, mine = status("VmRSS"), kept()
    Path("/proc/self/clear_refs").write_text("5")  # the highest is counted from here
    began = time.perf_counter()
    images = open_images(path)
    seconds = time.perf_counter() - began
    peak = status("VmHWM") - before
    visit(images)
    opened = kept() - mine
    return {
        **{"members": len(images), "seconds": seconds, "making": peak, "open": opened},
        "further": in_a_process(further, handed(images)),
    }


def handed(images: Images) -> Connection:
    """The end of a pipe from which they can be read."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.send(images)
    return receiver


def further(receiver: Connection) -> float:
    before = own()
    images: Images = receiver.recv()
    visit(images)
    return own() - before


def _answer(send: Callable[[object], None], function: Callable[..., object], argument: object) -> None:
    send(function(argument))


def in_a_process(function: Callable[..., object], argument: object) -> object:
    """`function(argument)` in a new process, which shares nothing with this one that it isn't handed."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender.send, function, argument))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise DataError(f"the process that measures {function.__name__} ended without an answer") from None
    finally:
        process.join()


def report(path: Path) -> bool:
    """Print what opening a zip takes; return whether that is within the budget."""
    figures = in_a_process(first, path)
    assert isinstance(figures, dict)
    members = figures.pop("members")
    print(f"{members:,} members, opened in {figures.pop('seconds'):.1f} s")
    for name, value in figures.items():
        print(
            f"  {name:8} {value:6.1f} MB, {value * 1e6 / members:6.1f} a million (at most {BUDGET[name]:.0f})"
        )
    return all(value * 1e6 <= BUDGET[name] * members for name, value in figures.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--zip", type=Path)
    parser.add_argument("--check", action="store_true", help="exit code 1 if it takes more than the budget")
    arguments = parser.parse_args()
    if arguments.zip:
        check_plain(arguments.zip, FILE_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        zips = (make_zip(Path(folder, f"{count}.zip"), count) for count in arguments.members)
        within = [report(path) for path in ([arguments.zip] if arguments.zip else zips)]
    if arguments.check and not all(within):
        sys.exit(1)


if __name__ == "__main__":
    from bench.one_line import in_one_line

    in_one_line(main)
