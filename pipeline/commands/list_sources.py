"""`python -m pipeline sources`: the files that are downloaded; `--check`: do their addresses still have them?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from data.base.words import show
from data.catalog.entries import Source
from data.catalog.sources import downloads
from data.download.local_copies import addresses
from tasks.setup import settings

if TYPE_CHECKING:
    from data.download.check_addresses import Answer

SECONDS = 90.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"ask each address for its head and one byte ({SECONDS:.0f} s at most); exit code 1 where a file has "
        "no address that serves it",
    )
    parser.add_argument(
        "--pin",
        metavar="timm:NAME",
        help="fetch the weights of one of timm's networks into this folder, and print the entry that pins them",
    )


def sources(flags: argparse.Namespace) -> int:
    """Print the files of the catalog with their addresses, as a table in Markdown, or what the addresses answer."""
    if flags.pin:
        from pipeline.commands.pin import pin

        return pin(flags.pin)
    mirror = settings.get("sources", "mirror") or None
    files = {source: addresses(source, mirror) for source in downloads()}
    if flags.check:
        return _check([(source, url) for source, urls in files.items() for url in urls])
    rows = [
        (source.file, _bytes(source.bytes), _pin(source), url)
        for source, urls in files.items()
        for url in urls
    ]
    show(*_table(["file", "bytes", "sha256", "address"], rows))
    return 0


def _check(queries: list[tuple[Source, str]]) -> int:
    from data.download.check_addresses import check_addresses

    show(f"asking {len(queries)} addresses, {SECONDS:.0f} s at most ...", file=sys.stderr)
    answers = check_addresses(queries, SECONDS)
    show(*_table(["file", "address", "status", "length", "Range", "serves"], map(_row, answers)))
    dead = [source.file for source in dict(queries) if not _served(source, answers)]
    serving = sum(not answer.wrong for answer in answers)
    verdict = f"no address serves {', '.join(dead)}" if dead else "every file has an address that serves it"
    show("", f"{verdict} ({serving} of {len(answers)} addresses do)")
    return 1 if dead else 0


def _served(source: Source, answers: Iterable[Answer]) -> bool:
    return any(answer.source == source and not answer.wrong for answer in answers)


def _row(answer: Answer) -> tuple[str, ...]:
    pinned = answer.source.bytes
    length = _bytes(answer.length) + (
        " (as pinned)" if pinned is not None and pinned == answer.length else ""
    )
    ranges = {True: "yes", False: "no", None: "–"}[answer.ranges]
    elsewhere = f", from {answer.by}" if answer.by not in ("", answer.url) else ""
    serves = f"no: {answer.wrong}" if answer.wrong else f"yes{elsewhere}"
    return answer.source.file, answer.url, answer.status, length, ranges, serves


def _bytes(size: int | None) -> str:
    return "not known" if size is None else f"{size:,}"


def _pin(source: Source) -> str:
    return f"{(source.sha256 or source.sha256_prefix or '')[:16]}..."


def _table(heads: list[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """In Markdown, in columns that a terminal shows as such."""
    cells = [heads, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines
