"""The word of a card's backend, divided: what the wire is, where frames are captured, whether the plug is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.backends.words import join_commas, split_commas, switch
from machine.errors import BackendError

CAPTURE: Final = "pcap"
"""The option of every word, and the word that is nothing but its argument."""
LINK: Final = "link"


@dataclass(frozen=True, slots=True)
class CableWord:
    """`WIRE[,pcap=FILE][,link=on|off]`, or `pcap:FILE[,link=on|off]`."""

    wire: str
    """What is left of the word: the wire's own."""
    capture: str = ""
    """The capture's path, "" for none."""
    plugged: bool = True

    @staticmethod
    def parse(word: str, name: str) -> CableWord:
        """Divide a whole word.  BackendError, with the device's name in front, says what is wrong."""
        where = f"{name}: backend {word}"
        first, *rest = split_commas(word)
        capture, plugged, wire = "", True, [first]
        if first.startswith(f"{CAPTURE}:"):
            wire = [CAPTURE]
            capture = first.removeprefix(f"{CAPTURE}:")
            if not capture:
                raise BackendError(f"{where}: a capture needs a path: {CAPTURE}:FILE")
        for option in rest:
            key, _, value = option.partition("=")
            if key == CAPTURE:
                if capture or not value:
                    raise BackendError(f"{where}: write {CAPTURE}=FILE, once")
                capture = value
            elif key == LINK:
                plugged = switch(value, f"{where}: {LINK}")
            else:
                wire.append(option)
        return CableWord(join_commas(wire), capture, plugged)

    @staticmethod
    def of(first: str, argument: str, name: str) -> CableWord:
        """The same for a word that a table has divided already."""
        return CableWord.parse(f"{first},{argument}" if argument else first, name)

    @property
    def options(self) -> str:
        """The wire's options, without its first word."""
        return self.wire.partition(",")[2]
