"""The target description that gdb asks for: its features and registers as XML, and their bytes in g and p packets.

Source: the GDB manual, appendix G.2 (Target Description Format).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cpu_node.arch.spec import Debugging


class Description:
    """The registers by number, name and size."""

    def __init__(self, debugging: Debugging) -> None:
        self.debugging = debugging
        self.registers = tuple((name, bits // 8) for _, rows in debugging.features for name, bits, _ in rows)
        """(name, bytes), in the order of gdb's numbers."""

    def xml(self) -> bytes:
        """target.xml."""
        parts = [
            '<?xml version="1.0"?>',
            '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
            f'<target version="1.0"><architecture>{self.debugging.architecture}</architecture>',
            # For GNU/Linux gdb puts a breakpoint where it believes that a step leads; we know, over traps, too.
            "<osabi>none</osabi>",
        ]
        number = 0
        for feature, rows in self.debugging.features:
            parts.append(f'<feature name="{feature}">')
            for name, bits, kind in rows:
                parts.append(f'<reg name="{name}" bitsize="{bits}" type="{kind}" regnum="{number}"/>')
                number += 1
            parts.append("</feature>")
        parts.append("</target>")
        return "\n".join(parts).encode()

    def number(self, name: str) -> int:
        """A register's number."""
        return next(n for n, (known, _) in enumerate(self.registers) if known == name)

    def bytes_of(self, number: int, values: Mapping[str, int]) -> bytes:
        """A register's value as gdb has it; IndexError if there is none of that number."""
        name, size = self.registers[number]
        return (values[name] & (1 << 8 * size) - 1).to_bytes(size, "little")

    def all_bytes(self, values: Mapping[str, int]) -> bytes:
        """Every register, one behind the other."""
        return b"".join(self.bytes_of(number, values) for number in range(len(self.registers)))

    def split(self, data: bytes) -> list[tuple[str, int]]:
        """What all_bytes() has put together, as (name, value); ValueError if it is not as long as it must be."""
        found, at = [], 0
        for name, size in self.registers:
            if at + size > len(data):
                raise ValueError
            found.append((name, int.from_bytes(data[at : at + size], "little")))
            at += size
        return found
