"""The user's luigi.cfg, looked at before Luigi is imported: it would wait for a pipe, and skips what it can't open."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from data.errors import DataError
from data.files import SETTINGS_BYTES, check_text


def check_config_files() -> None:
    """End with one line unless the file that LUIGI_CONFIG_PATH names, and ./luigi.cfg where it is, are plain files.

    DataError in a program that imports this. The command `luigi` itself reads them before it imports anything of ours.
    """
    named = os.environ.get("LUIGI_CONFIG_PATH")
    here = "luigi.cfg" if os.path.lexists("luigi.cfg") else None
    for what, file in (("LUIGI_CONFIG_PATH: ", named), ("", here)):
        try:
            if file:
                check_text(Path(file), SETTINGS_BYTES)
        except DataError as error:
            if sys.argv[0] == "-m" or sys.argv[0].endswith("luigi"):
                raise SystemExit(f"error: {what}{error}") from None
            raise
