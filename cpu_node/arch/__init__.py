"""The table of guest architectures; nothing outside this folder knows what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cpu_node.arch.riscv64 import RISCV64
from cpu_node.arch.spec import ArchSpec

ARCHES: Final[Mapping[str, ArchSpec]] = {spec.name: spec for spec in (RISCV64,)}
