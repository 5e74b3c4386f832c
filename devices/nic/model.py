"""The virtio network card as the guest sees it (VIRTIO 1.2, 5.1): one pair of queues, no offloads.

Lives here: frames between the queues and the backend, the link.
Never here: sockets; a frame that leaves goes through the context.

The card passes on every frame, whoever it is for: the guest's own stack chooses (as a card without
VIRTIO_NET_F_CTRL_RX may).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from devices.nic import registers as r
from devices.nic.frames import LENGTH_BYTES, MESSAGE_BYTES, MESSAGE_FRAMES, pack_frame, split_frames, whole_frames
from devices.nic.state import DEFAULT_MAC, RECEIVE_LIMIT, RECEIVE_ROOM, NicState
from devices.options import refuse_unknown, text_option
from devices.virtio.buffers import BufferWriter, read_segments, total
from devices.virtio.model import VirtioModel
from devices.virtio.ring import DriverFault
from machine.errors import BoardError
from machine.message import HostEvent

if TYPE_CHECKING:
    from devices.model import DeviceContext, Options
    from devices.virtio.ring import Chain, Ring

MULTICAST: Final = 1
"""The lowest bit of an address's first byte: not one card's."""


def create_nic(options: Options) -> Nic:
    """A card with `mac`, six bytes in hexadecimal with colons; BoardError."""
    refuse_unknown(options, ("mac",))
    text = text_option(options, "mac", DEFAULT_MAC.hex(":"))
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text):
        raise BoardError(f"options.mac: {text!r} is not six bytes such as {DEFAULT_MAC.hex(':')}")
    mac = bytes.fromhex(text.replace(":", ""))
    if mac[0] & MULTICAST or not any(mac):
        raise BoardError(f"options.mac: {text} is not the address of one card")
    return Nic(mac)


class Nic(VirtioModel):
    """One network card."""

    __slots__ = ()

    DEVICE_ID = r.DEVICE_ID
    FEATURES = r.F_MTU | r.F_MAC | r.F_MRG_RXBUF | r.F_STATUS
    QUEUE_SIZES = r.QUEUE_SIZES

    state: NicState

    def __init__(self, mac: bytes = DEFAULT_MAC) -> None:
        super().__init__(NicState(mac=mac))

    def fresh_state(self) -> NicState:
        """Power-on: the address stays, and the cable as it is."""
        return NicState(mac=self.state.mac, link=self.state.link)

    def config(self) -> bytes:
        """Address, link, MTU."""
        return r.CONFIG.pack(self.state.mac, r.STATUS_LINK_UP if self.state.link else 0, 1, r.MTU)

    def driver_reset(self) -> None:
        """Frames on their way are lost, as on any card."""
        s = self.state
        s.dropped_received += len(s.received)
        s.dropped_transmit += sum(1 for _ in split_frames(s.transmit))
        s.received, s.received_bytes, s.transmit, s.blocked = (), 0, b"", False

    def serve(self, index: int, context: DeviceContext) -> None:
        """Fill buffers, or send what is in them."""
        if index == r.RECEIVE_QUEUE:
            self._receive(context)
        else:
            self._transmit(context)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Frames, room at the backend, the cable."""
        s = self.state
        match event:
            case HostEvent.DATA:
                self._hold(data)
                self.wake(r.RECEIVE_QUEUE)
            case HostEvent.OPENED | HostEvent.CLOSED:
                up = event is HostEvent.OPENED
                s.blocked = False
                if s.link != up:
                    s.link = up
                    self.config_changed()
                self.wake(r.RECEIVE_QUEUE)
                self.wake(r.TRANSMIT_QUEUE)
            case HostEvent.WRITABLE:
                s.blocked = False
                self.wake(r.TRANSMIT_QUEUE)
            case _:
                pass

    def input_room(self) -> int:
        """Bytes of messages that may come."""
        return max(0, RECEIVE_ROOM - self.state.received_bytes)

    def _hold(self, data: bytes) -> None:
        """Take the frames of a message; those that no guest could use, and those beyond the limit, are lost."""
        s = self.state
        frames = list(s.received)
        for frame in split_frames(data):
            size = LENGTH_BYTES + len(frame)
            fits = r.SHORTEST_FRAME <= len(frame) <= r.LONGEST_FRAME and s.received_bytes + size <= RECEIVE_LIMIT
            if fits:
                frames.append(frame)
                s.received_bytes += size
            else:
                s.dropped_received += 1
        s.received = tuple(frames)

    def _receive(self, context: DeviceContext) -> None:
        """Move what is held into the guest's buffers, as far as there are any and the cable is in."""
        s = self.state
        if not s.received or not s.link:
            return
        ring = self.open_ring(r.RECEIVE_QUEUE, context)
        writer = BufferWriter(context)
        merge = self.transport.has(r.F_MRG_RXBUF)
        done = 0
        for frame in s.received:
            chains = _take_buffers(ring, r.HEADER.size + len(frame), merge=merge)
            if chains is None:
                break
            done += 1
            s.received_bytes -= LENGTH_BYTES + len(frame)
            if not chains:
                s.dropped_received += 1
                continue
            data = r.HEADER.pack(0, r.HEADER_GSO_NONE, 0, 0, 0, 0, len(chains)) + frame
            for chain in chains:
                written = writer.fill(chain.writable, data)
                data = data[written:]
                ring.give_back(chain, written)
        s.received = s.received[done:]
        writer.flush()
        # While nothing is held the driver need not tell of new buffers.
        self.close_ring(ring, wants_notice=bool(s.received))

    def _transmit(self, context: DeviceContext) -> None:
        """Give the backend all that waits, a message at a time, until it owes us its WRITABLE."""
        s = self.state
        self._pass_on(context)
        ring = self.open_ring(r.TRANSMIT_QUEUE, context)
        while not s.blocked and len(ring):
            s.transmit = self._gather(ring, context)
            self._pass_on(context)
        self.close_ring(ring, wants_notice=not s.blocked)

    def _gather(self, ring: Ring, context: DeviceContext) -> bytes:
        """One message of frames."""
        message = bytearray()
        for _ in range(MESSAGE_FRAMES):
            if len(message) + LENGTH_BYTES + r.LONGEST_FRAME > MESSAGE_BYTES:
                break
            chain = ring.take()
            if chain is None:
                break
            frame = _read_frame(chain, context)
            if frame is not None and self.state.link:
                message += pack_frame(frame)
            else:
                self.state.dropped_transmit += 1
            ring.give_back(chain)
        return bytes(message)

    def _pass_on(self, context: DeviceContext) -> None:
        """Only whole frames count as taken."""
        s = self.state
        if not s.transmit or s.blocked:
            return
        result = context.output(s.transmit)
        s.transmit = s.transmit[whole_frames(s.transmit, result.accepted) :]
        if result.error:
            # A cable with nobody at the other end loses what is sent.
            s.dropped_transmit += sum(1 for _ in split_frames(s.transmit))
            s.transmit = b""
        s.blocked = bool(s.transmit)


def _take_buffers(ring: Ring, size: int, *, merge: bool) -> list[Chain] | None:
    """Chains with room for `size` bytes: several only if they may be merged (5.1.6.4); None: not enough are there yet.

    Without merging a buffer that is too small stays where it is and the answer is []: the frame is lost.
    """
    chains: list[Chain] = []
    room = 0
    while room < size:
        chain = ring.take()
        if chain is None:
            ring.untake(len(chains))
            return None
        chains.append(chain)
        if not (added := total(chain.writable)):
            raise DriverFault(f"the receive buffer at descriptor {chain.head} has no room")
        room += added
        if room < size and not merge:
            ring.untake(1)
            return []
    return chains


def _read_frame(chain: Chain, context: DeviceContext) -> bytes | None:
    """The frame behind the header; None if it is none that can be sent: bad length, or an offload nobody offered."""
    size = total(chain.readable)
    if size < r.HEADER.size:
        raise DriverFault(f"the transmit buffer at descriptor {chain.head} is shorter than its header")
    if not r.SHORTEST_FRAME <= size - r.HEADER.size <= r.LONGEST_FRAME:
        return None
    data = read_segments(context, chain.readable, size)
    flags, gso_type, *_ = r.HEADER.unpack_from(data)
    if flags & r.HEADER_NEEDS_CSUM or gso_type != r.HEADER_GSO_NONE:
        return None
    return data[r.HEADER.size :]
