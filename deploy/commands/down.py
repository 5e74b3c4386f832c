"""`dejavm down`: end a machine that is up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deploy.naming import add_name, name_of
from deploy.parser import seconds
from deploy.reporting import complain, put
from deploy.supervision.ending import end_machine
from deploy.supervision.place import find

if TYPE_CHECKING:
    import argparse

PATIENCE_S: Final = 20.0


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_name(parser, "the only one")
    parser.add_argument(
        "--timeout", type=seconds, default=PATIENCE_S, metavar="S",
        help=f"how long the guest may take behind its power key ({PATIENCE_S:.0f}; 0: do not press it)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """End it; nothing of it is left."""
    places = find(name_of(options), "dejavm down")
    ended = end_machine(places, options.timeout, complain)
    how = "the guest has switched off" if ended.powered_off else ended.state.lower() or "it was gone already"
    put(f"{places.name} is down: {how}")
    if ended.detail:
        complain(f"{places.name}: {ended.detail}")
    return ended.exit_code
