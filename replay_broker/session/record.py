"""Recording lives in the present: it orders what happens, writes it down and passes it on.

Theory of operation.  The CPU runs freely until it asks (Sync).  Then, with the CPU stopped, inputs are
delivered one after the other: each goes to its device, the device says what follows from it and Done,
and only then comes the next, so that the order is one that a replay can follow.  A Grant ends it.

Without a log (NullLedger) this is mode `none`: the same program, so that the two compare.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from machine import message as m
from machine.clock import VirtualClock
from machine.codec import decode, encode, type_of
from machine.errors import RemoteWireError
from machine.frame import FIRST_DERIVED_TYPE, Frame
from machine.icount import BROKER, CPU, FIRST_DEVICE
from replay_broker.inputs import PendingInputs
from replay_broker.outcome import Outcome
from replay_broker.outside import Outside
from replay_broker.past import Pasts
from replay_broker.services import Services
from replay_broker.session.base import Hold, Session
from replay_broker.snapshots.state import broker_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.board import Board
    from machine.recording.place import Point
    from replay_broker.ledger import Ledger
    from replay_broker.session.base import Send

DMA_WRITE: Final = type_of(m.DmaWrite)
TICK_NS: Final = 500_000_000


class RecordSession(Session):
    """Modes `record` and `none`.  `reboots`: a guest that asks for a restart gets one; else the run ends with it."""

    name = "record"

    def __init__(self, board: Board, send: Send, ledger: Ledger, *, reboots: bool = True) -> None:
        super().__init__(board, send)
        self._ledger = ledger
        self._clock = VirtualClock(board.shift)
        self._pending = PendingInputs()
        self._deliveries: deque[tuple[m.Message, int]] = deque()
        self._sync: m.Sync | None = None
        self._stopped = self._kicked = False
        self._idle_from_ns: int | None = None
        self._idle_until_ns: int | None = None
        self._held_from_ns: int | None = None
        """Since when a sleeping guest stands still; that time does not count as sleep."""
        self._held_at_once = False
        """It came to its sleep while it was to stand still already."""
        self._slept_while_saving = False
        """It fell asleep when its state had been asked for."""
        self._outside = Outside()
        self._awaiting: int | None = None
        self._asked: deque[int] = deque()
        self._ending: m.PowerOffReason | None = None
        self._quit = False
        self._reboots = reboots
        self._unsettled = False
        """A device has written memory at this sync point, and the CPU may not have stored it yet."""
        self._services = Services(board)
        self.pasts = Pasts(len(board.devices) if ledger.keeps else 0)
        self._handlers = {
            type_of(m.Sync): self._on_sync,
            type_of(m.Credit): lambda _: None,
            type_of(m.Settle): self._on_settle,
            type_of(m.HostInput): self._on_host_input,
            type_of(m.BackendResult): self._on_logged,
            type_of(m.Done): self._on_done,
            type_of(m.ClockRead): self._on_service,
            type_of(m.EntropyRead): self._on_service,
            type_of(m.Digest): self._on_digest,
            type_of(m.PowerOff): self._on_power_off,
        }

    @property
    def messages(self) -> int:
        """Messages stamped so far."""
        return self._ledger.messages

    @property
    def inputs(self) -> int:
        """Inputs among them."""
        return self._ledger.inputs

    def start(self) -> None:
        """The first sync point is power-on: every device is reset, in board order."""
        self._reset_devices()

    def handle(self, frame: Frame) -> None:
        """Stamp it, write it down, pass it on."""
        handler = self._handlers.get(frame.type, self._on_routed)
        handler(frame)

    def timeout_ns(self) -> int | None:
        """To the guest's next timer while it sleeps, and not beyond where the log's chunk is due."""
        due_ns = self._ledger.due_in_ns()
        timeout_ns = TICK_NS if due_ns is None else min(TICK_NS, due_ns)
        if self._idle_until_ns is None:
            return timeout_ns
        return max(0, min(timeout_ns, self._idle_until_ns - time.monotonic_ns()))

    def tick(self) -> None:
        """Close the log's chunk when it is due; wake the guest when its time has come."""
        self._ledger.tick()
        if self._idle_until_ns is not None and not self.saving and time.monotonic_ns() >= self._idle_until_ns:
            self._wake()

    def write_down(self) -> None:
        """The log follows what has been sent."""
        self._ledger.write_down()

    def quit(self) -> None:
        """End the run at the next sync point; a guest that stands still goes on to there."""
        self._quit = True
        self.let_go()
        self._attend()

    def pause(self) -> None:
        """Have the guest stand still; one that sleeps does so already."""
        super().pause()
        if self.hold is Hold.PAUSING and self._idle_from_ns is not None:
            self._hold_sleeper()

    def resume(self) -> None:
        """Let it go on; a sleeping one sleeps as long as if it had not been held."""
        super().resume()
        if self.hold is Hold.RUNNING and self._held_from_ns is not None:
            assert self._idle_from_ns is not None
            self._idle_from_ns += time.monotonic_ns() - self._held_from_ns
            self._held_from_ns = None
            self._consider_idle(just_now=self._held_at_once)

    @property
    def waiting_inputs(self) -> int:
        """How many inputs have not been delivered."""
        return len(self._outside) + len(self._pending)

    def waiting(self) -> Mapping[int, int]:
        """Inputs that have not been delivered, by device."""
        return self._pending.by_node() + self._outside.by_node()

    def submit(self, target: int, message: m.HostInput, *, in_turn: bool = False) -> None:
        """An input of the machine's control for a device; its delay counts from the next sync point.

        `in_turn`: not before the device's last input that was submitted so; the delay counts from that one.
        """
        self._outside.submit(target, message, in_turn=in_turn)
        self._attend()

    def reset(self) -> None:
        """Have the machine begin anew, at the next sync point; or end, if the guest may not restart it either."""
        if self._reboots:
            self._outside.reset, self.reset_by_guest = True, False
            self._attend()
        else:
            self.quit()

    def may_save(self) -> bool:
        """Not in the middle of a sync point, nor where nothing runs any more, nor without a log to go with it."""
        return self._ledger.keeps and self.outcome is None and self._ending is None and not self._stopped

    def stands_awake(self) -> bool:
        """A sleeping guest that is held waits for an answer, and can tell its state."""
        return super().stands_awake() and self._held_from_ns is None

    def point(self, icount: int) -> Point:
        """Whatever has been said has happened: the CPU stands, and nobody else has the word."""
        return self._ledger.mark()

    def broker_state(self) -> bytes:
        """Inputs that wait, as they wait."""
        return broker_state(self._clock.idle_ns, self._pending.all())

    def saved(self) -> None:
        """A guest that slept meanwhile may be woken again."""
        super().saved()
        if self._idle_from_ns is not None and self._held_from_ns is None:
            self._consider_idle(just_now=self._slept_while_saving)
        self._slept_while_saving = False

    def fail(self, outcome: Outcome) -> None:
        """Keep what has been written."""
        if self.outcome is None:
            self.outcome = outcome
            self._ledger.close(clean=False)

    def waiting_bytes(self, number: int) -> int:
        """Bytes that a device's backend has brought and that have not been delivered."""
        return self._pending.bytes_of(number)

    # What nodes say.

    def _enter(self, frame: Frame) -> Frame:
        self.icount = max(self.icount, frame.icount)
        stamped = self._ledger.enter(frame)
        self.pasts.add(stamped)
        return stamped

    def _on_routed(self, frame: Frame) -> None:
        """A derived message: whom it is for gets it."""
        if frame.type < FIRST_DERIVED_TYPE:
            raise RemoteWireError(f"{self.node_name(frame.source)} sent a message of type {frame.type} in a recording")
        stamped = self._enter(frame)
        if frame.target != BROKER:
            self._send_frame(stamped)
            self._unsettled |= frame.type == DMA_WRITE

    def _on_settle(self, _: Frame) -> None:
        self._unsettled = False
        self._go_on()

    def _on_logged(self, frame: Frame) -> None:
        self._enter(frame)

    def _on_done(self, frame: Frame) -> None:
        self._on_routed(frame)
        if frame.target == BROKER:
            if frame.source != self._awaiting:
                raise RemoteWireError(f"{self.node_name(frame.source)} sent Done for nothing")
            self._awaiting = None
            self._go_on()

    def _on_service(self, frame: Frame) -> None:
        self._on_routed(frame)
        self._say(self._services.answer(frame), frame.source, frame.icount)

    def _on_host_input(self, frame: Frame) -> None:
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.HostInput)
        self.pasts.count_input(frame.source)
        # Not stamped yet: that happens where it is delivered.
        delivered = frame._replace(source=BROKER, target=frame.source)
        self._pending.add(delivered, self._clock.at(frame.icount) + message.delay_ns)
        self._attend()

    def _on_sync(self, frame: Frame) -> None:
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.Sync)
        self.icount = max(self.icount, frame.icount)
        self._sync = message
        self._kicked = False
        if not message.idle:
            self._open(0)
            return
        self._idle_from_ns = time.monotonic_ns()
        if self.hold is Hold.PAUSING:
            self._hold_sleeper(at_once=True)
        else:
            self._consider_idle(just_now=True)

    # One sync point.

    def _attend(self) -> None:
        """Something waits for a sync point: wake a sleeping guest, or ask a running one to stop."""
        if self._stopped or self._ending is not None or self._held_from_ns is not None:
            return
        if self._idle_from_ns is not None:
            self._consider_idle()
        elif not self._kicked:
            self._kicked = True
            self.send(m.Kick(), CPU, self.icount)

    def _hold_sleeper(self, *, at_once: bool = False) -> None:
        """The CPU waits for an answer to its Sync: it gets none."""
        self._held_from_ns = time.monotonic_ns()
        self._held_at_once = at_once
        self._idle_until_ns = None
        self.stands_still()

    def _consider_idle(self, *, just_now: bool = False) -> None:
        """The guest sleeps, since this very moment or for a while: what ends it, and when?"""
        assert self._sync is not None
        if self.saving:
            # It is told nothing before it has told its state.
            self._slept_while_saving |= just_now
            return
        now_ns = self._clock.at(self.icount)
        ways = [] if self._sync.timer_ns is None else [self._sync.timer_ns]
        input_ns = self._pending.next_ns()
        if input_ns is not None:
            ways.append(max(0, input_ns - now_ns))
        if self._quit or self._deliveries or self._outside or (ways and min(ways) == 0):
            if just_now:
                # What is there already costs no time, so a guest that talks to a script alone runs the same each time.
                self._open(0)
            else:
                self._wake()
        elif not ways:
            self._idle_until_ns = None
        elif not self.board.sleep:
            self._open(min(ways))
        else:
            assert self._idle_from_ns is not None
            self._idle_until_ns = self._idle_from_ns + min(ways)

    def _wake(self) -> None:
        """End the sleep: as much virtual time has passed as real time, but never beyond the next timer."""
        assert self._sync is not None
        assert self._idle_from_ns is not None
        elapsed_ns = time.monotonic_ns() - self._idle_from_ns if self.board.sleep else 0
        if self._idle_until_ns is not None:
            elapsed_ns = min(elapsed_ns, self._idle_until_ns - self._idle_from_ns)
        if self._sync.timer_ns is not None:
            elapsed_ns = min(elapsed_ns, self._sync.timer_ns)
        self._open(elapsed_ns)

    def _open(self, idle_ns: int) -> None:
        self._stopped = True
        self._unsettled = False
        self._idle_from_ns = self._idle_until_ns = None
        self._clock.idle_ns += idle_ns
        self._say(m.SyncPoint(idle_ns), CPU, self.icount)
        self._go_on()

    def _go_on(self) -> None:
        """The next delivery of this sync point; none left: the CPU may run."""
        if self._deliveries:
            message, target = self._deliveries.popleft()
            self._awaiting = target
            self._say(message, target, self.icount)
            return
        now_ns = self._clock.at(self.icount)
        self._outside.admit(self._pending, now_ns)
        if self._unsettled and self._pending.is_due(now_ns):
            self.send(m.Settle(), CPU, self.icount)
            return
        frame = self._pending.take(now_ns)
        if frame is not None:
            self._awaiting = frame.target
            self._send_frame(self._enter(frame._replace(icount=self.icount)))
        elif self._quit:
            self._say(m.StopRequest(), CPU, self.icount)
            self._begin_end(m.PowerOffReason.OUTSIDE)
        elif self._outside.reset:
            self._outside.reset = False
            self.resets += 1
            # The CPU first: what devices say of themselves at their reset is said to the new one.
            self._say(m.Reset(), CPU, self.icount)
            self._reset_devices()
            self._go_on()
        else:
            self._stopped = False
            self.send(m.Grant(None, self._pending.next_ns()), CPU, self.icount)

    def _reset_devices(self) -> None:
        for number in range(len(self.board.devices)):
            self._deliveries.append((m.Reset(), FIRST_DEVICE + number))

    # The end.

    def _on_power_off(self, frame: Frame) -> None:
        self._enter(frame)
        message = decode(frame.type, frame.payload)
        assert isinstance(message, m.PowerOff)
        if message.reason is m.PowerOffReason.REBOOT and self._reboots and not self._quit:
            # The guest has asked for it; it stands, and its sync point is opened here without a Sync of its own.
            self._outside.reset = self.reset_by_guest = True
            self._open(0)
        else:
            self._begin_end(message.reason)

    def _begin_end(self, reason: m.PowerOffReason) -> None:
        self._ending = reason
        self._asked = deque(range(CPU, FIRST_DEVICE + len(self.board.devices)))
        self._ask_state()

    def _on_digest(self, frame: Frame) -> None:
        self._enter(frame)
        message = decode(frame.type, frame.payload)
        if isinstance(message, m.Digest) and message.scope is m.DigestScope.ALL:
            self._ask_state()

    def _ask_state(self) -> None:
        """Every node's digest belongs to the recording; without a log nobody wants them."""
        assert self._ending is not None
        if self._asked and self._ledger.keeps:
            self._say(m.StateRequest(), self._asked.popleft(), self.icount)
            return
        self._say(m.End(self._ending), BROKER, self.icount)
        digest = self._ledger.digest()
        self._ledger.close(clean=True)
        self.outcome = Outcome(m.RunState.ENDED, digest, reason=self._ending)

    def _say(self, message: m.Message, target: int, icount: int) -> None:
        """A logged message of the broker's own."""
        stamped = self._enter(Frame(type_of(type(message)), BROKER, target, icount, encode(message)))
        if target != BROKER:
            self._send_frame(stamped)
