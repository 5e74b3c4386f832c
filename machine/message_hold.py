"""The messages by which the CPU is held, by the broker or a debugger, and changed; machine/message.py has them all.

docs/wire.md is the authority on what each means; the comments here are only reminders.
"""

from __future__ import annotations

from machine.message_base import MessageStruct


class Pause(MessageStruct):
    """Stand still, at once or at exactly an instruction, or go on; the guest cannot see it."""

    on: bool
    at_icount: int | None = None
    ticket: int = 0
    let_go: bool = False


class Paused(MessageStruct):
    """The CPU stands still until it is told to go on; `ticket` is that of the Pause.  `held`: by a debugger."""

    ticket: int = 0
    held: bool | None = None
    virtual_ns: int = 0


class Rouse(MessageStruct):
    """The guest's sleep ends because a debugger is about to change something."""


class DebuggerWrite(MessageStruct):
    """A debugger has changed a `register`, or memory, where the CPU stands at `pc`."""

    pc: int
    register: str = ""
    value: int = 0
    address: int = 0
    data: bytes = b""
