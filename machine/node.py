"""How every process of the machine starts, introduces itself and ends.

Lives here: arguments, Hello/Welcome/Ready, diagnostics, the one place that reads the environment.
Never here: what a node does once it runs.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from machine.board import Board, parse_board
from machine.codec import MESSAGES, decode
from machine.errors import (
    EXIT_FAILED,
    EXIT_MISTOLD,
    EXIT_USAGE,
    BackendError,
    BoardError,
    Divergence,
    MachineError,
    RemoteWireError,
    Unheard,
)
from machine.icount import BROKER
from machine.leaving import LAUNCHER, leave
from machine.message import (
    WIRE_VERSION,
    Fault,
    FaultCode,
    Hello,
    Ready,
    Refused,
    Shutdown,
    StateVersion,
    Welcome,
)
from machine.meter import ONE, Meter
from machine.vmstate import versions

if TYPE_CHECKING:
    from machine.attended import AttendedPort
    from machine.port import Port

log = logging.getLogger("dejavm")
STAMPED = "DEJAVM_STAMPED"
"""Set where diagnostics of many processes are put together: each line then says when, who and at which icount."""
WELCOME_TIMEOUT_S = 30.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class NodeArguments:
    """What a node's process is told: its name, the resolved board, the broker's endpoint."""

    name: str
    board: Board
    endpoint: str
    options: argparse.Namespace
    diagnostics: Diagnostics
    meter: Meter

    @property
    def distant(self) -> bool:
        """Whether the broker is on another host."""
        return self.options.keys is not None


class Diagnostics(logging.Filter):
    """What each line of the diagnostics says beside its text."""

    def __init__(self) -> None:
        super().__init__()
        self.icount: Callable[[], int] = lambda: 0
        """Where the guest is, as this process knows."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every line passes; it gets its instruction count."""
        record.icount = self.icount()
        return True


class Rejected(RemoteWireError):
    """The broker does not let this node in, and will not hear more of it."""


class ShutDown(Exception):
    """The broker has told this node to leave."""


def parse_arguments(
    argv: Sequence[str], extend: Callable[[argparse.ArgumentParser], None] | None = None
) -> NodeArguments:
    """A node's command line; UsageError-like exits are argparse's own (2)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", required=True, help="the node's name on the board")
    parser.add_argument("--board", required=True, type=Path, help="the resolved board file")
    parser.add_argument("--broker", required=True, help="the broker's ZeroMQ endpoint")
    parser.add_argument("--host", default=os.uname().nodename, help="what this host is called")
    parser.add_argument("--keys", type=Path, help="the directory of keys, for a broker on another host")
    parser.add_argument("--remote-memory", action="store_true", help="the CPU node is on another host")
    parser.add_argument("--wait", type=float, default=WELCOME_TIMEOUT_S, help="how long the broker may take to answer")
    add_metrics(parser)
    if extend is not None:
        extend(parser)
    options = parser.parse_args(argv)
    board = parse_board(options.board.read_text(), str(options.board))
    return NodeArguments(options.node, board, options.broker, options, Diagnostics(), Meter(options.node))


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """--metrics."""
    parser.add_argument(
        "--metrics", type=int, metavar="PORT", help="serve metrics at this port of the loopback; 0: any"
    )


def introduce(port: Port, arguments: NodeArguments, memory_path: str = "") -> Welcome:
    """Say Hello and wait to be let in; Rejected if the broker refuses, Unheard if it is not there."""
    name = arguments.name
    port.send(_hello(arguments, memory_path, port.metrics), BROKER, 0)
    port.introduced = True
    wait_s = arguments.options.wait
    frame = port.receive(wait_s)
    if frame is None:
        raise Unheard(f"the broker did not answer within {wait_s:.0f} s")
    message = decode(frame.type, frame.payload)
    match message:
        case Welcome():
            port.number = message.number
            return message
        case Refused():
            raise Rejected(f"{name}: refused by the broker: {message.reason}")
        case Shutdown():
            raise ShutDown
        case _:
            raise RemoteWireError(f"{name}: the broker answered Hello with {message!r}")


def _hello(arguments: NodeArguments, memory_path: str = "", metrics: str = "") -> Hello:
    host, types = arguments.options.host, tuple(MESSAGES)
    return Hello(WIRE_VERSION, arguments.name, os.getpid(), memory_path, host, metrics, types)


def announce_ready(port: Port, *states: type, from_seq: int = 0) -> None:
    """Tell the broker that everything this node needs is open, and the vmstates the node remembers itself in.

    `from_seq`: for one that stands in for another, the first message of the past that it needs.
    """
    remembered = tuple(StateVersion(name, version) for name, version in versions(*states))
    port.send(Ready(remembered, from_seq), BROKER, 0)


def run_node(arguments: NodeArguments, main: Callable[[NodeArguments, Port], None]) -> int:
    """Run a node's main to its end; the process's exit code.  A failure's last word is a Fault."""
    start_diagnostics(arguments.name, arguments.diagnostics)
    die_with_parent()
    # The launcher ends a run through the broker; a terminal's own Ctrl-C must not end one node alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        port = _open_port(arguments)
    except BackendError as error:
        if arguments.options.keys is not None:
            log.warning("%s", error)
            return EXIT_USAGE
        port = _plain_port(arguments)
        _fail(port, arguments, FaultCode.SETUP, error, EXIT_USAGE)
        port.close()
        return EXIT_USAGE
    try:
        main(arguments, port)
    except ShutDown:
        return 0
    except (Rejected, Unheard) as error:
        log.warning("%s", error)
        return EXIT_FAILED
    except (BackendError, BoardError) as error:
        return _fail(port, arguments, FaultCode.SETUP, error, EXIT_USAGE)
    except Divergence as error:
        return _fail(port, arguments, FaultCode.DIVERGENCE, error, error.exit_code)
    except (MachineError, OSError, MemoryError) as error:
        code = EXIT_MISTOLD if isinstance(error, RemoteWireError) else EXIT_FAILED
        return _fail(port, arguments, FaultCode.INTERNAL, error, code)
    except Exception as error:
        log.exception("%s failed", arguments.name)
        return _fail(port, arguments, FaultCode.INTERNAL, f"{type(error).__name__}: {error}", EXIT_FAILED)
    finally:
        port.close()
    return 0


def _plain_port(arguments: NodeArguments) -> Port:
    # Imported here: a process of the timeline speaks to nobody.
    from machine.port import Port  # noqa: PLC0415

    return Port(arguments.endpoint)


def _open_port(arguments: NodeArguments) -> Port:
    """The node's port; with metrics, one that serves them too.  BackendError if they cannot be served."""
    number, keys = arguments.options.metrics, arguments.options.keys
    if number is None and keys is None:
        return _plain_port(arguments)
    # Imported here: only those pay for it who were asked.
    from machine.attended import AttendedPort  # noqa: PLC0415
    from machine.distant import DistantPort  # noqa: PLC0415
    from machine.keys import KeyRing  # noqa: PLC0415

    port: AttendedPort
    if keys is None:
        port = AttendedPort(arguments.endpoint)
    else:
        distant = DistantPort(arguments.endpoint, KeyRing(keys).client(arguments.name))
        distant.severed = _leave_all
        port = distant
    if number is not None:
        _serve_metrics(port, arguments, number)
    return port


def _leave_all() -> NoReturn:
    # Imported here with it: only who has a broker on another host can lose the way to it.
    from machine.distant import LOST  # noqa: PLC0415

    log.warning("%s", LOST)
    leave(EXIT_FAILED)


def _serve_metrics(port: AttendedPort, arguments: NodeArguments, number: int) -> None:
    from machine.scrape import ScrapeServer  # noqa: PLC0415

    server = ScrapeServer(number, arguments.meter.render)
    port.attend(server.descriptor, server.serve)
    port.metrics = server.address
    meter, icount = arguments.meter, arguments.diagnostics
    meter.counter("messages", "messages by direction and type", ("direction", "type"), port.traffic.messages)
    meter.counter("message_bytes", "payload bytes by direction and type", ("direction", "type"), port.traffic.bytes)
    meter.counter("icount", "guest instructions, as this process knows", (), lambda: {ONE: icount.icount()})


def _fail(port: Port, arguments: NodeArguments, code: FaultCode, error: object, exit_code: int) -> int:
    log.info("cannot go on: %r", error)
    if not port.introduced:
        # Nobody listens to a stranger's trouble.
        port.queue(_hello(arguments), BROKER, 0)
    port.send(Fault(code, str(error)), BROKER, 0)
    return exit_code


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone, even by SIGKILL (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have gone before: until here Python has come up, which takes a tenth of a second.
    launcher = os.environ.get(LAUNCHER)
    if launcher is not None and _has_ended(int(launcher)):
        leave(EXIT_FAILED)


def starter() -> int:
    """The process that has started this one and the machine's others: a launcher, or supervisor."""
    return int(os.environ.get(LAUNCHER) or os.getppid())


def _has_ended(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 0)[0])
    finally:
        os.close(descriptor)


class _Once(logging.Formatter):
    """Says a node's name once: a backend, which may be one of several of its process, says it, too."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._doubled = f"{name}: "

    def format(self, record: logging.LogRecord) -> str:
        """One line, and what an exception has behind it."""
        record.said = record.getMessage().removeprefix(self._doubled)
        return super().format(record)


def start_diagnostics(name: str, diagnostics: Diagnostics | None = None) -> None:
    """Diagnostics go to standard error, one line each, the node's name in front, time and icount where asked for."""
    if not __debug__:
        sys.exit("dejavm does not run with python -O: its assertions guard the recording")
    level = (os.environ.get("DEJAVM_DIAGNOSTICS") or "WARNING").upper()
    handler = logging.StreamHandler(sys.stderr)
    text = f"{name}: %(said)s"
    if os.environ.get(STAMPED):
        handler.addFilter(diagnostics or Diagnostics())
        text = f"%(asctime)s.%(msecs)03dZ {name} %(icount)d: %(said)s"
    handler.setFormatter(_Once(name, text))
    logging.basicConfig(handlers=[handler], level=level)
