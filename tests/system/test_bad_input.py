"""Bad input gets one clear line and its exit code, and leaves nothing half written."""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING

import pytest
import zstandard

from machine.recording.format import FORMAT_VERSION
from tests.harness.guests import BARE, echo_script, guest
from tests.harness.rigged import Rig

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.machine import Home

pytestmark = pytest.mark.system

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREADABLE = 4
LIMIT_BYTES = 16384


def _refused(home: Home, *args: str | Path, says: tuple[str, ...] = ()) -> None:
    """The command must refuse to record, in one line that says all of that, and leave no file."""
    before = sorted(home.work.rglob("*"))
    done = home.run("record", *args, timeout_s=30)
    assert done.exit_code == EXIT_USAGE, done.stderr
    for word in says:
        assert word in done.complaint
    assert sorted(home.work.rglob("*")) == before
    assert home.left_behind() == []


def test_a_missing_kernel(home: Home) -> None:
    _refused(home, "bare", "--kernel", "nothing-here", says=("nothing-here", "kernel"))


def test_an_empty_kernel(home: Home) -> None:
    _refused(home, "bare", "--kernel", home.file("empty", ""), says=("empty", "kernel"))


def test_a_kernel_for_another_machine(home: Home) -> None:
    _refused(home, "bare", "--kernel", "/bin/true", "--serial", "null", says=("/bin/true", "riscv64"))


def test_a_kernel_that_is_cut_off(home: Home) -> None:
    kernel = home.work / "cut.elf"
    kernel.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(20))
    _refused(home, "bare", "--kernel", kernel, "--serial", "null", says=("cut.elf", "ELF"))


def test_a_kernel_that_does_not_fit(home: Home) -> None:
    kernel = home.work / "big.bin"
    kernel.write_bytes(bytes(20 << 20))
    _refused(home, "bare", "--kernel", kernel, "--memory", "16M", "--serial", "null", says=("big.bin", "16 MiB"))


def test_an_unknown_board(home: Home) -> None:
    _refused(home, "toaster", says=("toaster", "bare", "debian"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('cpu = "riscv64"', 'cpu = "riscv64"\ncolour = "blue"', ("machine.colour",)),
        ("shift = 0", 'shift = "none"', ("machine.shift", "number")),
        ("address = 0x10000000", "address = 0x80000000", ("device.serial0.address", "overlaps", "memory")),
        ("irq = 10", "irq = 99", ("device.serial0.irq", "99")),
        ('kind = "serial"', 'kind = "toaster"', ("device.serial0.kind", "toaster")),
        ('cpu = "riscv64"', 'cpu = "z80"', ("z80", "riscv64")),
        ('memory = "64M"', 'memory = "lots"', ("lots",)),
        ("[machine]", "[machine", ("TOML",)),
    ],
)
def test_a_wrong_board(home: Home, old: str, new: str, says: tuple[str, ...]) -> None:
    assert old in BARE
    board = home.file("wrong.toml", BARE.replace(old, new))
    _refused(home, board, "--kernel", guest("traps"), says=says)


@pytest.mark.parametrize(
    "backend", ["telepathy", "file:", "tcp:nowhere", "tcp:127.0.0.1:99999", "script:missing.txt", "unix:"]
)
def test_a_backend_that_cannot_be(home: Home, backend: str) -> None:
    _refused(home, "bare", "--kernel", guest("traps"), "--serial", backend, says=("serial0",))


def test_a_script_with_a_mistake_names_its_line(home: Home) -> None:
    script = home.script('expect READY\nshout "hello"\n')
    _refused(home, "bare", "--kernel", guest("traps"), "--serial", script, says=("script.txt:2", "shout"))


def test_a_unix_socket_in_use(home: Home) -> None:
    path = home.work / "taken"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        _refused(home, "bare", "--kernel", guest("traps"), "--serial", f"unix:{path},server=on", says=("taken",))


def test_a_tcp_port_in_use(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        backend = f"tcp:127.0.0.1:{port},server=on"
        _refused(home, "bare", "--kernel", guest("traps"), "--serial", backend, says=(port,))


def test_nobody_listens(home: Home) -> None:
    backend = f"unix:{home.work / 'nobody'}"
    _refused(home, "bare", "--kernel", guest("traps"), "--serial", backend, says=("nobody",))


def test_a_name_that_is_taken(home: Home) -> None:
    taken = home.file("taken.dejavm", "precious")
    _refused(home, "bare", "--kernel", guest("traps"), "-o", taken, says=("taken.dejavm", "exists"))
    assert taken.read_text() == "precious"


def _recording(home: Home) -> Path:
    script = home.script(echo_script(*(f"line {number}" for number in range(20))))
    kernel = home.work / "guest.bin"
    shutil.copy(guest("echo"), kernel)
    return home.record("bare", "--kernel", kernel, "--serial", script)


def _unreadable(home: Home, *args: str | Path, says: tuple[str, ...]) -> None:
    for command in ("verify", "replay"):
        done = home.run(command, *args, timeout_s=30)
        assert done.exit_code == EXIT_UNREADABLE, done.stderr
        for word in says:
            assert word in done.complaint


def test_a_recording_of_another_format_version(home: Home) -> None:
    recording = _recording(home)
    facts = recording / "machine.toml"
    facts.write_text(facts.read_text().replace(f"format = {FORMAT_VERSION}", "format = 99"))
    _unreadable(home, recording, says=("format 99", str(FORMAT_VERSION)))


@pytest.mark.parametrize(
    ("state", "modes"), [("cpu", ("log", "live")), ("riscv64-platform", ("log", "live")), ("serial16550", ("live",))]
)
def test_a_recording_with_a_state_of_another_version(home: Home, state: str, modes: tuple[str, ...]) -> None:
    """What takes part must be as it was; a device that does not may be another."""
    recording = _recording(home)
    facts = recording / "machine.toml"
    assert f'"{state}" = 1\n' in facts.read_text()
    facts.write_text(facts.read_text().replace(f'"{state}" = 1\n', f'"{state}" = 7\n'))
    for devices in ("log", "live"):
        done = home.run("verify", recording, "--devices", devices, timeout_s=30)
        if devices in modes:
            assert done.exit_code == EXIT_UNREADABLE, done.stderr
            assert f"recorded with version 7 of state {state}, and here is version 1" in done.complaint
        else:
            assert done.exit_code == 0, done.stderr


def test_a_recording_whose_kernel_has_changed(home: Home) -> None:
    recording = _recording(home)
    with (home.work / "guest.bin").open("ab") as kernel:
        kernel.write(b"!")
    _unreadable(home, recording, says=("guest.bin", "changed"))


def test_a_recording_whose_kernel_is_gone(home: Home) -> None:
    recording = _recording(home)
    (home.work / "guest.bin").unlink()
    _unreadable(home, recording, says=("guest.bin",))


def test_a_recording_without_its_log(home: Home) -> None:
    recording = _recording(home)
    (recording / "log.mcap").unlink()
    _unreadable(home, recording, says=("log.mcap",))


def test_no_recording(home: Home) -> None:
    _unreadable(home, "nothing.dejavm", says=("nothing.dejavm",))
    for command in ("replay", "verify", "info", "dump"):
        done = home.run(command)
        assert done.exit_code == EXIT_USAGE
        assert "no recording" in done.complaint


@pytest.mark.parametrize("part", [0.5, 0.99])
def test_a_cut_recording_replays_to_where_it_is_good(home: Home, part: float) -> None:
    recording = home.record("bare", "--kernel", guest("chatter"), "--serial", "null")
    whole = home.run("info", recording, "--json").json
    log = recording / "log.mcap"
    log.write_bytes(log.read_bytes()[: int(whole["log_bytes"] * part)])
    good = home.run("info", recording, "--json").json
    assert 0 < good["messages"] <= whole["messages"]
    for command in ("verify", "replay", "info"):
        done = home.run(command, recording, "--json")
        assert done.exit_code == EXIT_UNREADABLE, done.stderr
        assert "log.mcap" in done.complaint
        assert "byte" in done.complaint
    for jobs in ((), ("--jobs", "2")):
        facts = home.run("verify", recording, "--json", *jobs).json
        assert facts["messages"] == good["messages"]
        assert facts["damage"] == good["damage"]
    packed = home.run("pack", recording, "-o", "packed.dejavm.tar.zst")
    assert (packed.exit_code, good["damage"] in packed.stderr) == (EXIT_UNREADABLE, True), packed.stderr
    back = home.work / "back.dejavm"
    assert home.run("unpack", "packed.dejavm.tar.zst", "-o", back).exit_code == 0
    assert (back / "log.mcap").read_bytes() == log.read_bytes()


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("sync_point", {"payload": {"idle_ns": (1 << 64) - 1}}, "a sleep of"),
        ("host_input", {"target": "node900"}, "node 900, which the recorded machine does not have"),
    ],
)
def test_a_recording_of_what_no_machine_does_is_told_and_not_waited_for(
    home: Home, kind: str, change: dict[str, object], says: str
) -> None:
    rows = [json.loads(line) for line in home.run("dump", _recording(home), "--json").stdout.splitlines()]
    wrong = [row | change if row["type"] == kind else row for row in rows]
    text = home.file("wrong.json", "".join(f"{json.dumps(row)}\n" for row in wrong))
    assert home.run("assemble", text, "-o", "wrong.dejavm").exit_code == 0
    done = home.run("verify", "wrong.dejavm", "--devices", "live", timeout_s=60)
    assert done.exit_code == EXIT_UNREADABLE, done.stderr
    assert says in done.complaint
    assert "Traceback" not in done.stderr


def test_a_damaged_recording_names_the_place(home: Home) -> None:
    recording = home.record("bare", "--kernel", guest("rtc"), "--serial", "null", "--sleep", "on")
    log = recording / "log.mcap"
    data = bytearray(log.read_bytes())
    data[data.rindex(zstandard.FRAME_HEADER) + 20] ^= 0x10
    log.write_bytes(data)
    done = home.run("verify", recording)
    assert done.exit_code == EXIT_UNREADABLE
    assert "byte" in done.complaint


def test_a_full_disk_ends_the_recording_in_one_line(home: Home) -> None:
    """A limit on the size of the broker's files stands for the disk: the log reaches it first."""
    rig = Rig(prefix={"broker": ("prlimit", f"--fsize={LIMIT_BYTES}", "--")})
    path = home.work / "a.dejavm"
    done = home.run("record", "bare", "--kernel", guest("chatter"), "--serial", "null", "-o", path, rig=rig)
    assert done.exit_code == EXIT_FAILED, done.stderr
    assert "log.mcap" in done.complaint
    assert "File too large" in done.complaint
    # What was written up to then is good.
    assert home.run("info", path, "--json").json["messages"] > 0


def test_a_directory_that_cannot_be_made(home: Home) -> None:
    in_the_way = home.file("file", "")
    _refused(home, "bare", "--kernel", guest("traps"), "-o", in_the_way / "a.dejavm", says=("file",))
