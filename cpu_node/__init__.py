"""One guest CPU with its memory, interrupt controller, timer and firmware."""

import ctypes
from importlib.util import find_spec
from pathlib import Path

# The native part is linked against the library of the unicorn package and finds it when it has been loaded.
# Importing the package would load it too, and with it a binding for eleven architectures: 12 ms of every start.
_unicorn = find_spec("unicorn")
if _unicorn is None or _unicorn.origin is None:
    raise ImportError("the unicorn package is missing")
ctypes.CDLL(str(Path(_unicorn.origin).parent / "lib" / "libunicorn.so.2"))
