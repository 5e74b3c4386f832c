"""What every message, and every part of one, is made as.

`msgspec.Struct`: compiled classes, where a dataclass would be generated from text again by each process that starts.
"""

from __future__ import annotations

from typing import dataclass_transform

from msgspec import Struct


@dataclass_transform(frozen_default=True)
class MessageStruct(Struct, frozen=True, gc=False):
    """Immutable, compared and hashed by its fields, shown as `Name(field=value)`; types are checked by mypy alone.

    No `gc`: numbers, text, bytes and rows of such immutable parts can be in no cycle, so the collector need not look.
    """
