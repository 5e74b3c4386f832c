"""What the broker counts, for Prometheus: the whole machine's books and its own (docs/service.md has the table)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machine.message import RunState
from machine.meter import ONE, Meter
from machine.scrape import ScrapeServer
from machine.traffic import Traffic

if TYPE_CHECKING:
    from machine.meter import Values
    from replay_broker.server import Server

NS_PER_S: Final = 1e9
HELD: Final = ("paused", "debug")


def serve_metrics(server: Server, port: int) -> None:
    """Serve the broker's metrics at a port of the loopback, 0 for any.  BackendError if it cannot be had."""
    meter, traffic = Meter("broker"), Traffic()
    meter.counter("messages", "messages by direction and type", ("direction", "type"), traffic.messages)
    meter.counter("message_bytes", "payload bytes by direction and type", ("direction", "type"), traffic.bytes)
    meter.gauge("run_state", "1 for the state that the machine is in", ("state",), lambda: _state(server))
    _count_run(server, meter)
    _count_mishaps(server, meter)
    server.measure(ScrapeServer(port, meter.render), traffic)


def _count_run(server: Server, meter: Meter) -> None:
    """How far the run is, and how fast."""
    meter.counter("icount", "guest instructions, as last heard", (), lambda: {ONE: server.status().icount})
    meter.counter("stamped_messages", "messages with a place in the run", (), lambda: {ONE: server.status().messages})
    meter.counter("inputs", "inputs from outside of the guest", (), lambda: {ONE: server.status().inputs})
    meter.gauge("mips", "million guest instructions a second", (), lambda: {ONE: server.status().icount_per_s / 1e6})
    meter.gauge("queue_length", "inputs that wait for a sync point", ("source",), lambda: _queues(server))
    meter.gauge("waiting", "1 for the node that keeps the machine waiting", ("waiting_for",), lambda: _waiting(server))


def _count_mishaps(server: Server, meter: Meter) -> None:
    """Who was refused, what was kept for a bad day, who had to be rebuilt."""
    meter.counter("refused", "messages that were no part of the protocol", (), lambda: {ONE: server.refused})
    meter.counter("snapshots", "snapshots by what became of them", ("result",), lambda: _snapshots(server))
    meter.counter("rebuilds", "processes that stood in for one that died", ("of",), lambda: _rebuilds(server))
    meter.counter("pause_seconds", "how long the guest stood for that reason", ("reason",), lambda: _pauses(server))


def _state(server: Server) -> Values:
    status = server.status()
    now = status.held or status.state.name.lower()
    return {(name,): int(name == now) for name in (*HELD, *(each.name.lower() for each in RunState))}


def _queues(server: Server) -> Values:
    return {
        (node.name,): node.waiting for node in server.status(nodes=True).nodes if node.name not in ("broker", "cpu")
    }


def _waiting(server: Server) -> Values:
    name = server.status().waiting_for.partition(" ")[0]
    return {(name,): 1} if name else {}


def _snapshots(server: Server) -> Values:
    return {("taken",): server.taker.taken, ("failed",): server.taker.failed} if server.taker is not None else {}


def _rebuilds(server: Server) -> Values:
    return {(name,): times for name, times in server.rebuilder.losses.rebuilt.items()}


def _pauses(server: Server) -> Values:
    stood_ns = server.taker.stood_ns if server.taker is not None else 0
    return {("snapshot",): stood_ns / NS_PER_S, ("rebuild",): server.rebuilder.losses.waited_s}
