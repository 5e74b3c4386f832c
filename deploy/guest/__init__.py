"""The default guest: Debian's riscv64 kernel with a small initramfs, built once into the cache.

Lives here: everything between the host's apt and two files a machine can boot.
Never here: booting them.
"""

from deploy.guest.errors import GuestError
from deploy.guest.store import Guest, ensure_guest, find_guest

__all__ = ["Guest", "GuestError", "ensure_guest", "find_guest"]
