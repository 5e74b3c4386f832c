"""One guest CPU with its memory, interrupt controller, timer and firmware."""

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Final


def _load_engine() -> ctypes.CDLL:
    """Unicorn's library, with what stands in front of it (arch/riscv64/exits.c); the latter is returned.

    The native part is linked against the library of the unicorn package and finds it when it has been loaded.
    Importing the package would load it too, and with it a binding for eleven architectures: 12 ms of every start.
    """
    unicorn, exits = find_spec("unicorn"), find_spec("cpu_node._exits")
    if unicorn is None or unicorn.origin is None:
        raise ImportError("the unicorn package is missing")
    if exits is None or exits.origin is None:
        raise ImportError("the native part of the CPU node has not been built: run make setup")
    in_front = ctypes.CDLL(exits.origin, mode=ctypes.RTLD_GLOBAL)
    engine = ctypes.CDLL(str(Path(unicorn.origin).parent / "lib" / "libunicorn.so.2"))
    try:
        in_front.exits_setup(engine.tcg_gen_callN_riscv64, engine.helper_check_exit_request_riscv64)
    except AttributeError:
        raise ImportError("this unicorn is not the one the engine was measured with") from None
    return in_front


_IN_FRONT: Final = _load_engine()


def calls_left_out() -> int:
    """For tests: how many calls the translator has left out in this process; 0 where it cannot."""
    _IN_FRONT.exits_left_out.restype = ctypes.c_uint64
    return int(_IN_FRONT.exits_left_out())
