"""Paths in settings."""

from __future__ import annotations

import os
import subprocess
import sys

from commands import ROOT


def test_a_path_names_the_same_file_in_every_locale():
    code = (
        "import os; from data.base.settings_text import expanded; "
        r"os.write(1, os.fsencode(expanded('o\u00f9/\u732b')))"
    )
    for utf8 in ("0", "1"):
        environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True)
        assert done.stdout.decode() == "où/猫", done.stderr
