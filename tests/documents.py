"""README and docs as tests see them: their code blocks, and a shell that runs the blocks of a page in order.

What stands behind the three backticks says what a test does with a block:

    sh                    run by bash, in the order of the page, in an empty folder, with a few pictures for a sample
    sh network            (or gpu, cluster, service) not run: its luigi commands are planned with the same flags
    text                  what the sh block before it prints: numbers may differ, `...` is anything
    text shown            for the eye only: drawings, folders, what this machine can't print
    python                run, in the folder that the page has come to
    python excerpt        a piece of code that can't run alone: parsed
    toml, ini, csv, json  parsed; with a file's name behind it also written to that file
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKS = {"network", "gpu", "cluster", "service"}
FILES = ("toml", "ini", "csv", "json")

# Not run in a marked block: they install, reach other machines, or never end.
FOREIGN = "pip ray ssh scp rsync aws curl git docker nvidia-smi tensorboard luigid sbatch srun pytest sudo systemctl"

# Stand-ins while a block is planned. `make` is one everywhere: its targets are checked, `run` is done as it says.
PLANNED = """
luigi() { [ "$1 $2" = "--module pipeline" ] || return 2; shift 2; command python -m pipeline plan "$@"; }
luigi-deps-tree() { [ "$1 $2" = "--module pipeline" ] || return 2; shift 2; command python -m pipeline plan "$@"; }
python() { case "$1 $2 $3" in "-m pipeline plan") command python "$@";; esac; }
"""
PLANNED += "".join(f"{name}() {{ :; }}\n" for name in FOREIGN.split())
AS_WRITTEN = f"unset -f luigi luigi-deps-tree python {FOREIGN}\n"
MAKE = """
make() { for target in "$@"; do case "$target" in
  run) luigi --module pipeline RunAll;; %s) ;; *=*) ;; *) echo "make has no target $target"; return 2;;
esac; done; }
"""


@dataclass(frozen=True)
class Block:
    """One fenced code block: `words` are those behind the backticks, `line` is where it starts."""

    page: Path
    line: int
    words: tuple[str, ...]
    content: str

    @property
    def kind(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def marked(self) -> bool:
        return self.kind == "sh" and bool(MARKS & set(self.words))

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order."""
    return [
        Block(page, (token.map or [0])[0] + 1, tuple(token.info.split()), token.content)
        for token in tokens(page)
        if token.type == "fence"
    ]


def fault(block: Block) -> str:
    """Why no test would look at this block; "" if one does."""
    kind, words = block.kind, block.words[1:]
    allowed = {
        "sh": set(words) <= MARKS,
        "text": words in ((), ("shown",)),
        "python": words in ((), ("excerpt",)),
        **{name: len(words) <= 1 for name in FILES},
    }
    return "" if allowed.get(kind) else f"{block.place}: no test knows a block of '{' '.join(block.words)}'"


def targets() -> list[str]:
    """What `make` can be told."""
    return re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def script(page: Path, room: Path) -> str:
    """A bash script of all that a page wants run, with a line that names its place before the output of each block."""
    known = "|".join(name for name in targets() if name != "run")
    lines = ["set -e", MAKE % known]
    for number, block in enumerate(blocks(page)):
        lines.append(f"echo '@@ {block.place}'")
        if block.kind == "sh":
            lines += [PLANNED if block.marked else AS_WRITTEN, block.content]
        elif block.words == ("python",):
            path = room / f"block-{number}.py"
            path.write_text(block.content, encoding="utf-8")
            lines += [AS_WRITTEN, f"python '{path}'"]
        elif block.kind in FILES and len(block.words) == 2:
            lines += [f"cat > '{block.words[1]}' <<'END OF BLOCK'", block.content + "END OF BLOCK"]
    return "\n".join(lines) + "\n"


def outputs(printed: str) -> dict[str, str]:
    """What a script's blocks printed, by place."""
    parts = re.split(r"^@@ (.*)\n", printed, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def expected(line: str) -> re.Pattern[str]:
    """A line of a text block as a pattern: any numbers, fingerprints and white space; `...` is anything or nothing.

    A bound of an interval may be a dash: so few questions, all right or all wrong, have none.
    """
    pieces = re.split(r"(\s*\.\.\.|\b[0-9a-f]{16}\b|\d[\d,.]*|\s+)", line.strip())
    bounds = line.strip().startswith(("95 % from ", "to "))
    return re.compile(
        "".join(
            _BOUND if bounds and piece[:1].isdigit() and "." in piece else _piece(piece) for piece in pieces
        )
    )


_BOUND = r"(?:\d[\d,.]*|-(?!\d))"


def _piece(text: str) -> str:
    if text.strip() == "...":
        return ".*"
    if re.fullmatch(r"[0-9a-f]{16}", text):
        return "[0-9a-f]{16}"
    if text[:1].isdigit():
        return r"\d[\d,.]*" if text[-1] not in ",." else rf"\d[\d,.]*{re.escape(text[-1])}"
    return r"\s+" if text.isspace() else re.escape(text)


def first_missing(text: str, output: str) -> str:
    """The first line of a text block that the output does not have behind the line before it; "" if all are there."""
    printed = output.splitlines()
    for line in filter(str.strip, text.splitlines()):
        pattern = expected(line)
        place_found = next((place for place, said in enumerate(printed) if pattern.search(said)), None)
        if place_found is None:
            return line
        printed = printed[place_found + 1 :]
    return ""
