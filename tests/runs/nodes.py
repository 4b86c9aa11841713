"""A real Ray cluster of several node processes on this machine, a driver, and kill -9 for each of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from colarepro.results import Record

WATCHFUL = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""Ray notices a dead node in seconds instead of half a minute."""
SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
LIMIT = 300
"""Seconds to wait for what takes ten on a machine that has nothing else to do."""
ROOT = Path(__file__).parents[2]


class Nodes:
    """A head that works at nothing, and nodes with one CPU each."""

    def __init__(self, count: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.cluster = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": WATCHFUL, **SMALL})
        self.nodes: list[Any] = []
        self.drivers: list[subprocess.Popen[str]] = []
        for _ in range(count):
            self.add()

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(wait=False, num_cpus=1, **SMALL))

    def drive(self, sweep: Path, output: Path, *words: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Start ``colarepro sweep --on ray``."""
        command = [sys.executable, "-m", "colarepro", "sweep", str(sweep), "--output", str(output), "--on", "ray"]
        environment = os.environ | {"RAY_ADDRESS": self.cluster.address}
        pipe = subprocess.PIPE
        driver = subprocess.Popen(
            [*command, *words], cwd=cwd, env=environment, text=True, stdout=pipe, stderr=subprocess.STDOUT
        )
        self.drivers.append(driver)
        return driver

    def workers(self) -> list[psutil.Process]:
        """Processes that are on a run."""
        return [process for node in self.nodes for process in _descendants(node) if _is_on_a_run(process)]

    def kill_node(self, number: int) -> None:
        """As a power cut does: the node and all that it started."""
        node = self.nodes.pop(number)
        for process in [*_roots(node), *_descendants(node)]:
            kill(process)
        self.cluster.remove_node(node, allow_graceful=False)

    def stop(self) -> None:
        for driver in self.drivers:
            if driver.returncode is not None:
                continue
            driver.kill()
            driver.communicate()
        for node in self.nodes:
            for process in _descendants(node):
                kill(process)
        self.cluster.shutdown()


def kill(process: psutil.Process) -> None:
    """kill -9."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


def until(condition: Callable[[], Any], driver: subprocess.Popen[str], seconds: float = LIMIT) -> None:
    """Wait for something while the driver runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def records(folder: Path) -> list[Path]:
    """Files of records in a folder, those apart that are being written."""
    return list(folder.glob("[0-9a-f]*.json"))


def answers(folder: Path) -> dict[str, dict[str, Any]]:
    """Everything in a folder's record files that must not depend on the machine's pace, by file."""
    found = {}
    for path in records(folder):
        fields = json.loads(Record.from_json(path.read_text(), str(path)).to_json())
        fields["costs"] = {
            name: value for name, value in fields["costs"].items() if "seconds" not in name and name != "peak_bytes"
        }
        found[path.name] = fields
    return found


def _roots(node: Any) -> list[psutil.Process]:
    pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def _descendants(node: Any) -> list[psutil.Process]:
    return [process for root in _roots(node) for process in root.children(recursive=True)]


def _is_on_a_run(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[0].startswith("ray::_perform")
    except (psutil.Error, IndexError):
        return False
