"""What the broker counts, for Prometheus: the whole machine's books and its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.meter import ONE, Meter
from machine.scrape import ScrapeServer
from machine.traffic import Traffic

if TYPE_CHECKING:
    from machine.meter import Values
    from replay_broker.server import Server


def serve_metrics(server: Server, port: int) -> None:
    """Serve the broker's metrics at a port of the loopback, 0 for any.  BackendError if it cannot be had."""
    meter, traffic = Meter("broker"), Traffic()
    meter.counter("messages", "messages by direction and type", ("direction", "type"), traffic.messages)
    meter.counter("message_bytes", "payload bytes by direction and type", ("direction", "type"), traffic.bytes)
    meter.counter("icount", "guest instructions, as last heard", (), lambda: {ONE: server.status().icount})
    meter.counter("stamped_messages", "messages with a place in the run", (), lambda: {ONE: server.status().messages})
    meter.counter("refused", "messages that were no part of the protocol", (), lambda: {ONE: server.refused})
    meter.gauge("mips", "million guest instructions a second", (), lambda: {ONE: server.status().icount_per_s / 1e6})
    meter.gauge("queue_length", "inputs that wait for a sync point", ("source",), lambda: _queues(server))
    meter.gauge("waiting", "1 for the node that keeps the machine waiting", ("waiting_for",), lambda: _waiting(server))
    server.measure(ScrapeServer(port, meter.render), traffic)


def _queues(server: Server) -> Values:
    return {
        (node.name,): node.waiting for node in server.status(nodes=True).nodes if node.name not in ("broker", "cpu")
    }


def _waiting(server: Server) -> Values:
    name = server.status().waiting_for.partition(" ")[0]
    return {(name,): 1} if name else {}
