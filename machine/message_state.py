"""The messages by which nodes tell and take their state; machine/message.py has them all.

docs/wire.md is the authority on what each means; the comments here are only reminders.
"""

from __future__ import annotations

from typing import Final

from machine.message_base import MessageStruct

MOST_UNTAKEN: Final = 8
"""SavedPages that may be under way without a PagesTaken."""


class Save(MessageStruct):
    """Tell everything you remember; `whole`: all memory, not only what has changed."""

    whole: bool = False


class Saved(MessageStruct):
    """What a node remembers; the CPU's memory is in a file, whole or what has changed since the last time.

    `refused`: why the CPU has none.
    """

    state: bytes
    staging: str = ""
    granule: int = 0
    granules: bytes = b""
    whole: bool = False
    front: bool = False
    virtual_ns: int = 0
    refused: str = ""


class SavedPages(MessageStruct):
    """A part of guest memory, from a CPU on another host, in front of its Saved; `data` is a zstd frame."""

    offset: int
    data: bytes


class PagesTaken(MessageStruct):
    """That has been put away."""


class Load(MessageStruct):
    """Remember this; without a state, what you did at power-on."""

    state: bytes = b""
    recording: str = ""
    number: int = 0


class Proceed(MessageStruct):
    """The CPU may run on behind Saved."""
