"""The virtio input device as the guest sees it (VIRTIO 1.2, 5.8): a keyboard, a mouse or a tablet.

Lives here: events to the guest, LEDs from it, the configuration space that says what it can do.
Never here: where events come from.

What comes while no driver listens is held as well, through the driver's reset too: a script may type early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.input import registers as r
from devices.input.kinds import KINDS, InputKind
from devices.input.state import GROUP_LIMIT, HELD_LIMIT, InputState
from devices.options import refuse_unknown, text_option
from devices.virtio.buffers import BufferWriter, read_segments
from devices.virtio.model import VirtioModel
from machine.errors import BoardError
from machine.input_events import ROW_BYTES, SYN, Event, pack_events, unpack_events
from machine.message import HostEvent

if TYPE_CHECKING:
    from devices.model import DeviceContext, Options


def create_input(options: Options) -> Input:
    """A device of `type` kbd, mouse or tablet; BoardError."""
    refuse_unknown(options, ("type",))
    kind = text_option(options, "type", "kbd")
    if kind not in KINDS:
        raise BoardError(f"options.type: {kind!r} is none of {', '.join(KINDS)}")
    return Input(kind)


class Input(VirtioModel):
    """One input device."""

    __slots__ = ()

    DEVICE_ID = r.DEVICE_ID
    QUEUE_SIZES = r.QUEUE_SIZES

    state: InputState

    def __init__(self, kind: str = "kbd") -> None:
        super().__init__(InputState(kind=kind))

    def fresh_state(self) -> InputState:
        """Power-on: the type stays."""
        return InputState(kind=self.state.kind)

    def config(self) -> bytes:
        """What has been selected; size 0 where there is nothing (5.8.5)."""
        s = self.state
        data = self._kind.answers.get((s.select, s.subsel), b"")
        return r.CONFIG_HEAD.pack(s.select, s.subsel, len(data)) + data.ljust(r.CONFIG_DATA_BYTES, b"\0")

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Select something; all else is read-only."""
        for at in range(offset, offset + size):
            byte = value >> 8 * (at - offset) & 0xFF
            if at == r.CONFIG_SELECT:
                self.state.select = byte
            elif at == r.CONFIG_SUBSEL:
                self.state.subsel = byte

    def driver_reset(self) -> None:
        """Nothing is selected; the driver's own events are gone."""
        s = self.state
        s.select = s.subsel = 0
        s.lost_status += len(s.unsent) // ROW_BYTES
        s.unsent, s.blocked = b"", False

    def serve(self, index: int, context: DeviceContext) -> None:
        """Hand over events, or take the guest's."""
        if index == r.EVENT_QUEUE:
            self._deliver(context)
        else:
            self._take_status(context)

    def host_input(self, event: HostEvent, data: bytes, context: DeviceContext) -> None:
        """Events, or room at the backend."""
        match event:
            case HostEvent.DATA:
                for row in unpack_events(data):
                    self._add(row)
                self.wake(r.EVENT_QUEUE)
            case HostEvent.WRITABLE | HostEvent.OPENED | HostEvent.CLOSED:
                self.state.blocked = False
                self.wake(r.STATUS_QUEUE)
            case _:
                pass

    def input_room(self) -> int:
        """Bytes of events."""
        return max(0, HELD_LIMIT - len(self.state.held) - len(self.state.group))

    @property
    def _kind(self) -> InputKind:
        return KINDS[self.state.kind]

    def _add(self, event: Event) -> None:
        """One event; a group counts when it has ended and something of it is left."""
        s = self.state
        if event == SYN:
            self._end_group()
        elif not self._kind.declares(event):
            s.undeclared += 1
        elif len(s.group) < GROUP_LIMIT:
            s.group += pack_events((event,))
        else:
            s.group_lost = True

    def _end_group(self) -> None:
        s = self.state
        group = s.group + pack_events((SYN,)) if s.group else b""
        if s.group_lost or len(s.held) + len(group) > HELD_LIMIT:
            s.lost_groups += 1
        else:
            s.held += group
        s.group, s.group_lost = b"", False

    def _deliver(self, context: DeviceContext) -> None:
        """One event a buffer (5.8.6.2)."""
        s = self.state
        if not s.held:
            return
        ring = self.open_ring(r.EVENT_QUEUE, context)
        writer = BufferWriter(context)
        done = 0
        while done < len(s.held) and (chain := ring.take()) is not None:
            ring.give_back(chain, writer.fill(chain.writable, s.held[done : done + ROW_BYTES]))
            done += ROW_BYTES
        s.held = s.held[done:]
        writer.flush()
        self.close_ring(ring, wants_notice=bool(s.held))

    def _take_status(self, context: DeviceContext) -> None:
        """The guest's events to the backend, all that are there in one message."""
        s = self.state
        self._pass_on(context)
        ring = self.open_ring(r.STATUS_QUEUE, context)
        while not s.blocked and len(ring):
            rows = []
            while (chain := ring.take()) is not None:
                rows.append(read_segments(context, chain.readable, ROW_BYTES))
                ring.give_back(chain)
            s.unsent = b"".join(row for row in rows if len(row) == ROW_BYTES)
            self._pass_on(context)
        self.close_ring(ring, wants_notice=not s.blocked)

    def _pass_on(self, context: DeviceContext) -> None:
        """Only whole events count as taken."""
        s = self.state
        if not s.unsent or s.blocked:
            return
        result = context.output(s.unsent)
        s.unsent = s.unsent[result.accepted - result.accepted % ROW_BYTES :]
        if result.error:
            s.lost_status += len(s.unsent) // ROW_BYTES
            s.unsent = b""
        s.blocked = bool(s.unsent)
