"""The initramfs: what it holds, and that the same ingredients give the same bytes."""

import gzip
import stat

import pytest

from deploy.guest import build, cpio, image, modules
from deploy.guest.errors import PackageUnexpected
from tests.unit.deploy.guest_samples import RELEASE, busybox_bytes, module_files


def archive() -> dict[str, cpio.Entry]:
    return {entry.name: entry for entry in cpio.read(archive_bytes())}


def archive_bytes() -> bytes:
    tree = modules.module_tree(module_files(net="core", core=""))
    return image.initramfs(busybox_bytes(), modules.select(tree, ["net"], []))


def test_the_same_ingredients_give_the_same_bytes() -> None:
    assert archive_bytes() == archive_bytes()


def test_every_entry_stands_in_a_directory_that_is_there() -> None:
    entries = archive()
    for name in entries:
        parent, slash, _ = name.rpartition("/")
        assert not slash or stat.S_ISDIR(entries[parent].mode), name


def test_init_and_busybox_can_be_executed() -> None:
    for name in ("init", "bin/busybox", "etc/acpi/PWRF/00000080", "etc/hotplug", "etc/udhcpc/default.script"):
        assert archive()[name].mode == stat.S_IFREG | 0o755


def test_a_program_started_in_place_of_init_finds_a_console() -> None:
    console = archive()["dev/console"]
    assert (stat.S_ISCHR(console.mode), console.major, console.minor) == (True, 5, 1)


def test_applets_are_links_to_busybox() -> None:
    assert archive()["bin/sh"].data == b"busybox"
    assert archive()["sbin"].data == b"bin"


def test_modules_are_there_uncompressed_with_their_indexes() -> None:
    entries = archive()
    assert entries[f"lib/modules/{RELEASE}/net.ko"].data.startswith(b"\x7fELF")
    assert entries[f"lib/modules/{RELEASE}/modules.dep"].data == b"core.ko:\nnet.ko: core.ko\n"


def test_a_busybox_without_its_table_of_applets_is_refused() -> None:
    with pytest.raises(PackageUnexpected, match="table of applets"):
        image.applets(b"\x7fELF something else")


def test_a_busybox_without_an_applet_init_calls_is_refused() -> None:
    with pytest.raises(PackageUnexpected, match="table of applets"):
        image.applets(busybox_bytes().replace(b"\0modprobe", b""))


def test_modules_are_found_in_a_compressed_initrd() -> None:
    entries = [cpio.regular(name, data) for name, data in module_files(net="").items()]
    assert build.installer_modules(gzip.compress(cpio.write(entries))).release == RELEASE


@pytest.mark.parametrize("broken", [b"text", gzip.compress(b"text", mtime=0), gzip.compress(b"", mtime=0)[:-3]])
def test_an_initrd_that_cannot_be_read_is_refused(broken: bytes) -> None:
    with pytest.raises(PackageUnexpected, match="initrd cannot be read"):
        build.installer_modules(broken)
