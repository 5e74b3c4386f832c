"""What the default guest is made of: packages, kernel modules, files of our own.

Lives here: the lists, and the one number that says they changed.
Never here: how any of it is fetched or assembled.
"""

import hashlib
from importlib import resources
from typing import Final

# Raise when the builder makes something else out of the same ingredients.
RECIPE_VERSION: Final = 3

KERNEL_NAME: Final = "linux"
INITRD_NAME: Final = "initrd.cpio"
GUEST_NAME: Final = "debian-riscv64"
ARCHITECTURE: Final = "riscv64"
SUITE: Final = "trixie"

INSTALLER_PACKAGE: Final = "debian-installer-13-netboot-riscv64"
BUSYBOX_PACKAGE: Final = "busybox-static"
PACKAGES: Final = (BUSYBOX_PACKAGE, INSTALLER_PACKAGE)

# Where modules come from that the installer has no use for; the kernel's release is its name's end.
KERNEL_PACKAGE_PREFIX: Final = "linux-image-"

# Looked up by the end of the path: the directories above name the release.
INSTALLER_KERNEL: Final = "/debian-installer/riscv64/linux"
INSTALLER_INITRD: Final = "/debian-installer/riscv64/initrd.gz"
BUSYBOX_PROGRAM: Final = "/bin/busybox"

REQUIRED_MODULES: Final = (
    "virtio_mmio",
    "virtio_net",
    "virtio_input",
    "virtio_rng",
    "evdev",
    "xhci_hcd",
    "xhci_plat_hcd",
    "usbcore",
    "usbhid",
    "hid_generic",
    "usb_storage",
    "sd_mod",
)
OPTIONAL_MODULES: Final = (
    "cdc_acm",
    "virtio_blk",
    "fat",
    "vfat",
    "nls_ascii",
    "nls_cp437",
    "nls_iso8859_1",
    "nls_utf8",
)

# Guest path, our file beside this module, permissions.
OWN_FILES: Final = (
    ("init", "init", 0o755),
    ("etc/acpi/PWRF/00000080", "power-key", 0o755),
    ("etc/hotplug", "hotplug", 0o755),
    ("etc/udhcpc/default.script", "udhcpc.script", 0o755),
)


def own_file(name: str) -> bytes:
    """Return one of our files that go into the guest."""
    return resources.files("deploy.guest").joinpath(name).read_bytes()


def recipe_sha256() -> str:
    """Hash everything above, so that a guest built from another recipe is recognised."""
    lists = (RECIPE_VERSION, SUITE, PACKAGES, REQUIRED_MODULES, OPTIONAL_MODULES, OWN_FILES)
    digest = hashlib.sha256(repr(lists).encode())
    for _, name, _ in OWN_FILES:
        digest.update(hashlib.sha256(own_file(name)).digest())
    return digest.hexdigest()
