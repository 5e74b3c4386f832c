"""The guest's initramfs: which entry stands where.

Lives here: the tree, composed from busybox, the selected modules and our own files.
Never here: how these were fetched, or where the result is kept.
"""

from collections.abc import Iterable
from typing import Final

from deploy.guest import cpio
from deploy.guest.cpio import Entry
from deploy.guest.errors import PackageUnexpected
from deploy.guest.modules import Selection, modules_alias, modules_dep
from deploy.guest.recipe import BUSYBOX_PACKAGE, OWN_FILES, own_file

DIRECTORIES: Final = (
    "bin",
    "dev",
    "etc",
    "etc/acpi",
    "etc/acpi/PWRF",
    "etc/udhcpc",
    "lib",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "usr",
    "var",
)

# One directory of programs; the other places where scripts look for them lead there.
LINKS: Final = (
    ("sbin", "bin"),
    ("usr/bin", "../bin"),
    ("usr/sbin", "../bin"),
    ("var/run", "../run"),
    ("var/tmp", "../tmp"),
    ("etc/mtab", "../proc/mounts"),
)

# Numbers from the kernel's Documentation/admin-guide/devices.txt.  Init mounts devtmpfs over
# these; a program started in its place (rdinit=) has only them.
DEVICES: Final = (
    ("console", 5, 1, 0o600),
    ("full", 1, 7, 0o666),
    ("kmsg", 1, 11, 0o644),
    ("null", 1, 3, 0o666),
    ("random", 1, 8, 0o666),
    ("tty", 5, 0, 0o666),
    ("ttyS0", 4, 64, 0o660),
    ("urandom", 1, 9, 0o666),
    ("zero", 1, 5, 0o666),
)

TEXTS: Final = (
    (
        "etc/fstab",
        "proc /proc proc defaults 0 0\n"
        "sysfs /sys sysfs defaults 0 0\n"
        "devpts /dev/pts devpts mode=620,ptmxmode=666 0 0\n"
        "tmpfs /dev/shm tmpfs mode=1777 0 0\n"
        "tmpfs /run tmpfs mode=755 0 0\n"
        "tmpfs /tmp tmpfs mode=1777 0 0\n",
    ),
    ("etc/group", "root:x:0:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/passwd", "root::0:0:root:/root:/bin/sh\n"),
)

FIRST_APPLETS: Final = b"[\0[[\0"
EXPECTED_APPLETS: Final = frozenset(
    {"acpid", "busybox", "cttyhack", "killall", "modprobe", "mount", "pidof", "poweroff", "setsid", "sh", "uevent"}
)


def initramfs(busybox: bytes, selection: Selection) -> bytes:
    """Return the archive."""
    entries = [
        *(cpio.directory(name) for name in DIRECTORIES),
        cpio.directory("tmp", 0o1777),
        *(cpio.symlink(name, target) for name, target in LINKS),
        *(cpio.character_device(f"dev/{name}", *numbers) for name, *numbers in DEVICES),
        *(cpio.regular(name, text.encode()) for name, text in TEXTS),
        *(cpio.regular(name, own_file(source), mode) for name, source, mode in OWN_FILES),
        *_programs(busybox),
        *_modules(selection),
    ]
    return cpio.write(entries)


def applets(busybox: bytes) -> tuple[str, ...]:
    """Return the names of the applets in a busybox program.

    It is built for another machine, so it cannot be asked; but it keeps the names as one sorted
    run of NUL-terminated strings (applet_names in include/applet_tables.h): "[", "[[" and so on.
    """
    start = busybox.find(FIRST_APPLETS)
    end = busybox.find(b"\0\0", start)
    names = busybox[start:end].decode("ascii", "replace").split("\0") if 0 <= start < end else []
    if names != sorted(set(names)) or not EXPECTED_APPLETS.issubset(names):
        raise PackageUnexpected(BUSYBOX_PACKAGE, "its table of applets cannot be found")
    return tuple(names)


def _programs(busybox: bytes) -> Iterable[Entry]:
    yield cpio.regular("bin/busybox", busybox, 0o755)
    for name in applets(busybox):
        if name != "busybox":
            yield cpio.symlink(f"bin/{name}", "busybox")


def _modules(selection: Selection) -> Iterable[Entry]:
    home = f"lib/modules/{selection.release}"
    yield cpio.directory(home)
    yield cpio.regular(f"{home}/modules.dep", modules_dep(selection.modules))
    yield cpio.regular(f"{home}/modules.alias", modules_alias(selection.modules))
    for module in selection.modules:
        yield cpio.regular(f"{home}/{module.name}.ko", module.data)
