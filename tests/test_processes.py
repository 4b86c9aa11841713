"""A command's processes end with it, in one sentence."""

import os
import signal
import subprocess
import sys
import time

import pytest

from colarepro.errors import ColaError
from colarepro.processes import workers

SLEEPING = """
import time
from colarepro.errors import exit_cleanly
from colarepro.processes import workers

def main():
    with workers(2) as pool:
        futures = [pool.submit(time.sleep, 60) for _ in range(2)]
        print("started", flush=True)
        for future in futures:
            future.result()

exit_cleanly(main)
"""


def test_a_worker_that_is_killed() -> None:
    with pytest.raises(ColaError, match="A worker process was killed, maybe for want of memory"), workers(1) as pool:
        pool.submit(os._exit, 1).result()


def fail_beside_another() -> None:
    with workers(2) as pool:
        pool.submit(time.sleep, 60)
        pool.submit(divmod, 1, 0).result()


def test_an_error_ends_what_still_works() -> None:
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        fail_beside_another()
    assert time.monotonic() - began < 30


def test_ctrl_c_while_workers_start() -> None:
    """It reaches all processes of the terminal; those that start have no handler of their own yet."""
    words = [sys.executable, "-c", SLEEPING]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "colarepro: interrupted; what was already written stays.\n"
