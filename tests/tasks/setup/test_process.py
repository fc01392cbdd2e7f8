"""A stage's process does not outlive the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from commands import ROOT
from processes import have_ended

from tasks.setup.process import STOPPED, STOPPED_LINE

PARENT = """
import multiprocessing, os, time
from tasks.setup.process import die_with_parent

def child(parent):
    die_with_parent(parent)
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=child, args=(os.getpid(),))
    process.start()
    process.join()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_parent_takes_its_children_along():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert have_ended(child)


LATE = """
import os, signal, luigi
from tasks.setup import failures, logs, process
process.careful_signals(), failures.install(), logs.install()
class Ends(luigi.Task):
    def run(self):
        raise OSError("its process was ended by SIGTERM")
luigi.build([Ends()], local_scheduler=True)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_sigterm_says_so_last_where_a_stages_process_got_it_first():
    run = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, cwd=ROOT)
    assert "because there were failed tasks" in run.stderr  # Luigi's own run was over
    assert (run.returncode, run.stderr.splitlines()[-1]) == (STOPPED, STOPPED_LINE)
