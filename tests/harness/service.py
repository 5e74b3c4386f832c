"""A machine that is up, as its user sees it: the commands, supervisorctl, the processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.machine import Finished, Home

PATIENCE_S: Final = 60.0


class Service:
    """One machine under its name."""

    def __init__(self, home: Home, name: str) -> None:
        self._home = home
        self._name = name

    @property
    def directory(self) -> Path:
        """The machine's directory."""
        return self._home.runtime / f"dejavm-{os.getuid()}" / self._name

    def up(self, *args: str | Path, meanwhile: Callable[[], object] = lambda: None) -> Path | None:
        """Start it; the recording, where it makes one.  `meanwhile` does what it waits for."""
        running = self._home.start("up", *args, "--name", self._name)
        meanwhile()
        done = running.finish()
        assert done.exit_code == 0, done.stderr
        return self._home.work / args[args.index("-o") + 1] if "-o" in args else None

    def down(self, *args: str, exit_code: int = 0) -> Finished:
        """End it; its directory is gone."""
        done = self._home.run("down", self._name, *args, timeout_s=2 * PATIENCE_S)
        assert done.exit_code == exit_code, done.stderr
        assert not self.directory.exists()
        return done

    def ps(self) -> dict[str, Any]:
        """What `ps --json` says of it."""
        done = self._home.run("ps", self._name, "--json")
        assert done.exit_code == 0, done.stderr
        (machine,) = json_list(done)
        return machine

    def pids(self) -> dict[str, int]:
        """Its processes by name."""
        return {node["name"]: node["pid"] for node in self.ps()["nodes"]}

    def supervisorctl(self) -> dict[str, str]:
        """What supervisorctl's status says, by program."""
        return {line.split()[0]: line.split()[1] for line in self.ask_supervisor("status").splitlines()}

    def ask_supervisor(self, *words: str) -> str:
        """What supervisorctl says."""
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.directory / "supervisord.conf")]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return done.stdout

    def await_state(self, state: str) -> dict[str, Any]:
        """What `ps` says once the machine is in that state."""
        return self.await_ps(lambda machine: machine["state"] == state)

    def await_ps(self, wanted: Any) -> dict[str, Any]:
        """The first `ps` that is wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(machine := self.ps()):
            assert time.monotonic() < deadline, machine
        return machine


def scrape(address: str) -> dict[tuple[str, str], float]:
    """A process's metrics: values by name and the first label beside the node's."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        # prometheus.io/docs/practices/naming: that a counter is one is in its name; each has its help.
        assert family.documentation, family
        assert family.type in ("counter", "gauge"), family
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples), family
        assert all(sample.labels.get("node") or family.name.startswith("process_") for sample in family.samples), family
        for sample in family.samples:
            labels = [value for key, value in sample.labels.items() if key != "node"]
            found[sample.name, labels[0] if labels else ""] = sample.value
    return found


def json_list(done: Finished) -> list[dict[str, Any]]:
    """Standard output as a list of JSON objects."""
    value: Any = done.json
    assert isinstance(value, list)
    return value
