"""`python -m pipeline COMMAND`: look before a run, and keep house after it. Running is Luigi's: see README."""

from __future__ import annotations

import sys

from pipeline.commands import export, import_files
from pipeline.commands.ask import ask
from pipeline.commands.compare import compare
from pipeline.commands.features import features
from pipeline.commands.gc import gc
from pipeline.commands.plan import plan
from pipeline.commands.runs import runs
from pipeline.commands.score import score
from pipeline.commands.serve.server import serve
from pipeline.commands.verify import verify
from tasks.setup.logs import EXPECTED
from tasks.setup.user_errors import UsageError, nearest

USAGE = """python -m pipeline plan [TASK] [flags]                 what a run would do, why, and what it would cost
       python -m pipeline verify                                hash every artifact, name what differs
       python -m pipeline gc TASK [flags] [-- TASK ...] [--downloads] [--yes]
                                                                list, then remove, what these do not reach
       python -m pipeline runs [--json]                         the trained models: when, how good, what differs
       python -m pipeline compare A B [--out FILE]              two trained models side by side, as a page
       python -m pipeline score --annotations A --questions Q --results R [--json]
                                                                the official accuracy of any results file
       python -m pipeline features PICTURES --out features.h5 [--backbone vgg16] [--layer fc7] [--weights ...]
                                                                features of any folder or zip of pictures
       python -m pipeline ask PICTURE QUESTION [QUESTION ...] [--run RUN] [--json]
                                                                a trained model's answers about any picture
       python -m pipeline serve [--run RUN] [--port PORT] [--host HOST]
                                                                the same on a page in your browser
       python -m pipeline export [TASK] [flags] --to DIR        a finished run as the original project's three files
       python -m pipeline import --from ZIP [--annotations vqa-v1]
                                                                these files as the dataset seed-v1"""

TAKES_A_TASK = ("plan", "gc", "export")
"""Commands whose words are read by Luigi, which would answer --help with flags of its own."""


def main(arguments: list[str]) -> int:
    commands = {
        "ask": ask,
        "serve": serve,
        "plan": plan,
        "verify": verify,
        "gc": gc,
        "runs": runs,
        "compare": compare,
        "score": score,
        "features": features,
        "export": export.export_files,
        "import": import_files.import_files,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {USAGE}")
        return 0 if arguments else 2
    if arguments[0] not in commands:
        print(
            f"error: unknown command '{arguments[0]}'; {nearest(arguments[0], list(commands))}",
            file=sys.stderr,
        )
        return 2
    if arguments[0] in TAKES_A_TASK and {"-h", "--help"} & set(arguments):
        print(
            f"usage: {_usage(arguments[0])}\n\nluigi --module pipeline TASK --help lists the flags of a task"
        )
        return 0
    try:
        return commands[arguments[0]](arguments[1:])
    except (*EXPECTED, UsageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _usage(command: str) -> str:
    """The part of USAGE that is about one command."""
    start = USAGE.index(f"python -m pipeline {command}")
    return USAGE[start:].partition("\n       python")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
