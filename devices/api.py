"""What a device or a backend from outside is made of: everything it needs, in one module (docs/api.md).

A model is called with a DeviceContext for each message: `context.icount`, `context.read_clock()` (the host's clock, a
recorded input), `context.output()`, timers, interrupts, memory.  A backend is a HostBackend: `run.mode`, `run.icount`,
`submit()`.  Either refuses to be recorded with `unrecordable`.  All of it is the same in every mode.
"""

from __future__ import annotations

from typing import Final

from devices.backends.base import BackendBase
from devices.base import DeviceBase
from devices.model import Backend, DeviceContext, DeviceModel, DeviceSpec, Options, Run, Submit
from devices.options import refuse_unknown, text_option, without_options
from machine.errors import BackendError, BoardError
from machine.message import BackendResult, HostEvent, ReadKind, Register, RunMode, WriteKind
from machine.vmstate import vmstate

__all__: Final = (
    "Backend", "BackendError", "BackendResult", "BoardError", "DeviceBase", "DeviceContext", "DeviceModel",
    "DeviceSpec", "HostBackend", "HostEvent", "Options", "ReadKind", "Register", "Run", "RunMode", "Submit",
    "WriteKind",
    "refuse_unknown", "text_option", "vmstate", "without_options",
)  # fmt: skip


class HostBackend(BackendBase):
    """A backend to build on: it waits for nothing and takes everything until its heir says otherwise.

    `run` is there from attach() on, which is before open().  An heir whose effects the log could not hold, because
    they reach the guest in another way than by submit() and write(), says why in `unrecordable`.
    """

    run: Run

    def attach(self, run: Run) -> None:
        """Called once, before open()."""
        self.run = run

    def submit(self, data: bytes, event: HostEvent = HostEvent.DATA, delay_ns: int = 0) -> None:
        """Hand an input to the device, not before `delay_ns` of virtual time; allowed from open() on, in this thread.

        It is stamped, recorded and delivered at the guest's next sync point.  While a recording is replayed it is
        refused and counted: what comes in comes from the log.
        """
        self._submit(event, data, delay_ns)
