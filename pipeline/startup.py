"""What happens before the first stage is known: luigi.cfg is looked at and read, logs and Ctrl-C are set up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from data.base.errors import DataError
from data.base.files import SETTINGS_BYTES, check_text


def start() -> None:
    """Read luigi.cfg and set up logs, the notes of what a run needs, and Ctrl-C.

    What imports Luigi is imported here, after the look at luigi.cfg: Luigi would wait for a pipe there.
    """
    check_config_files()
    from tasks.library import in_use
    from tasks.setup import logs, settings
    from tasks.setup.process import careful_ctrl_c

    settings.add_project_config()
    settings.choose_scheduler(sys.argv[1:])
    if sys.argv[0].endswith("luigi"):
        settings.check_scheduler(sys.argv[1:])
    settings.check_artifacts_folder()
    settings.add_datasets()
    logs.install()
    in_use.install()
    careful_ctrl_c()


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
