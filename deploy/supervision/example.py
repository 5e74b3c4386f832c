"""The example that deploy/example holds, made by what makes the real ones: `python -m deploy.supervision.example`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.plan import Launch
from deploy.supervision.configuration import Service, render
from deploy.supervision.processes import ServiceOptions, plan_service
from machine.board import Board, DeviceSlot, render_board
from machine.message import RunMode

FOLDER: Final = Path(__file__).resolve().parent.parent / "example"
NAME: Final = "example"
PYTHON: Final = "/usr/lib/dejavm/bin/python"
HOME: Final = "/var/lib/dejavm/example"
BOARD: Final = Board(
    NAME,
    memory=64 << 20,
    kernel=f"{HOME}/guest.bin",
    devices=(
        DeviceSlot("serial0", "serial", 0x1000_0000, 10, backend=f"unix:{HOME}/serial0,server=on,wait=off"),
        DeviceSlot("rtc0", "rtc", 0x10_1000, 11, backend="host"),
    ),
)


def example_configuration(python: str = PYTHON, home: str = HOME) -> str:
    """The example's supervisord.conf."""
    launch = Launch(BOARD, RunMode.NONE)
    plans = plan_service(launch, ServiceOptions(python=python))
    return render(Service(NAME, plans, home, python))


def main() -> None:
    """Write the example's files."""
    (FOLDER / "supervisord.conf").write_text(example_configuration())
    (FOLDER / "machine.toml").write_text(render_board(BOARD))


if __name__ == "__main__":
    main()
