"""A peer of a guest's card that pings it, over a stream of frames; no test lives here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from tests.harness.net import framed, read_frame

if TYPE_CHECKING:
    import socket

GUEST_IP: Final = "10.5.5.2"
PEER_IP: Final = "10.5.5.1"
GUEST_MAC: Final = "52:54:00:12:34:56"
PEER_MAC: Final = "52:54:00:00:00:99"


def echo(number: int, size: int) -> bytes:
    """An ICMP echo request as a frame of that many bytes."""
    head = Ether(src=PEER_MAC, dst=GUEST_MAC) / IP(src=PEER_IP, dst=GUEST_IP) / ICMP(type=8, id=7, seq=number)
    return bytes(head / Raw(b"." * (size - len(head))))


def answer(peer: socket.socket) -> tuple[int, int]:
    """The next echo reply's number and the size of its frame, with ARP answered on the way."""
    while True:
        frame = Ether(read_frame(peer))
        if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == PEER_IP:
            reply = ARP(op=2, hwsrc=PEER_MAC, psrc=PEER_IP, hwdst=GUEST_MAC, pdst=GUEST_IP)
            peer.sendall(framed(bytes(Ether(src=PEER_MAC, dst=GUEST_MAC) / reply)))
        if ICMP in frame and frame[ICMP].type == 0:
            return frame[ICMP].seq, len(frame)
