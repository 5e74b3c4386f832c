"""Small stand-ins for what Debian's packages hold: kernel modules and a busybox."""

import lzma
import struct

from deploy.guest import image

RELEASE = "6.0-test"


def module_bytes(**modinfo: str) -> bytes:
    """Return a minimal ELF file with a .modinfo section of these key=value strings."""
    info = b"".join(f"{key}={value}\0".encode() for key, value in modinfo.items())
    names = b"\0.modinfo\0.shstrtab\0"
    info_offset = 64
    names_offset = info_offset + len(info)
    table = names_offset + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 243, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    sections = bytes(64)
    for name, offset, size in ((1, info_offset, len(info)), (10, names_offset, len(names))):
        sections += struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)
    return header + info + names + sections


def module_files(**depends: str) -> dict[str, bytes]:
    """Return compressed modules by path; each argument is a module and what it depends on."""
    return {
        f"lib/modules/{RELEASE}/kernel/drivers/{name}.ko.xz": lzma.compress(
            module_bytes(name=name, depends=needs, alias=f"of:N*T*C{name}")
        )
        for name, needs in depends.items()
    }


def busybox_bytes() -> bytes:
    """Return something with a table of applets in it."""
    names = ["[", "[[", *sorted(image.EXPECTED_APPLETS)]
    return b"\x7fELF code \x01" + b"\0".join(name.encode() for name in names) + b"\0\0more"
