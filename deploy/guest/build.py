"""From packages to the files of a guest.

Lives here: the order of the steps.
Never here: each step itself, and where the result is kept.
"""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

from deploy.guest import apt, cpio, recipe
from deploy.guest.errors import CpioError, PackageMissing, PackageUnexpected
from deploy.guest.image import initramfs
from deploy.guest.manifest import MANIFEST_NAME, Manifest, PackageRecord, record_file, render
from deploy.guest.modules import SUFFIXES, ModuleTree, module_tree, select
from deploy.guest.packages import PackageCache
from deploy.guest.progress import Say


def build(directory: Path, cache: PackageCache, say: Say) -> None:
    """Put a guest and its manifest into an empty directory."""
    apt.require_tools()
    packages = cache.provide(recipe.PACKAGES)
    path = {package.name: cache.directory / package.file for package in packages}
    say("unpacking the kernel, its modules and busybox")
    installer = apt.package_members(path[recipe.INSTALLER_PACKAGE], (recipe.INSTALLER_KERNEL, recipe.INSTALLER_INITRD))
    busybox = apt.package_members(path[recipe.BUSYBOX_PACKAGE], (recipe.BUSYBOX_PROGRAM,))
    tree = installer_modules(installer[recipe.INSTALLER_INITRD])
    if tree.absent(recipe.OPTIONAL_MODULES):
        more, fetched = kernel_modules(cache, tree.release, say)
        tree, packages = tree.with_more(more), (*packages, *fetched)
    selection = select(tree, recipe.REQUIRED_MODULES, recipe.OPTIONAL_MODULES)
    (directory / recipe.KERNEL_NAME).write_bytes(installer[recipe.INSTALLER_KERNEL])
    archive = initramfs(busybox[recipe.BUSYBOX_PROGRAM], selection)
    (directory / recipe.INITRD_NAME).write_bytes(archive)
    manifest = Manifest(
        recipe=recipe.RECIPE_VERSION,
        recipe_sha256=recipe.recipe_sha256(),
        kernel_release=selection.release,
        modules=tuple(sorted(module.name for module in selection.modules)),
        modules_built_in=selection.built_in,
        modules_missing=selection.missing,
        files=tuple(record_file(directory / name) for name in (recipe.INITRD_NAME, recipe.KERNEL_NAME)),
        packages=packages,
    )
    (directory / MANIFEST_NAME).write_text(render(manifest))


def kernel_modules(
    cache: PackageCache, release: str, say: Say
) -> tuple[Mapping[str, bytes], tuple[PackageRecord, ...]]:
    """The modules of the kernel's own package, and the package; none if the mirror has it no more, which is said."""
    try:
        packages = cache.provide((f"{recipe.KERNEL_PACKAGE_PREFIX}{release}",))
    except PackageMissing as error:
        say(f"going on without some modules: {error}")
        return {}, ()
    say("unpacking modules that the installer does not have")
    path = cache.directory / packages[0].file
    return dict(apt.package_files(path, lambda name: name.endswith(SUFFIXES))), packages


def installer_modules(initrd: bytes) -> ModuleTree:
    """Find the kernel modules in the installer's compressed initrd."""
    try:
        entries = cpio.read(gzip.decompress(initrd))
        return module_tree({entry.name.removeprefix("./"): entry.data for entry in entries})
    except (OSError, EOFError, zlib.error, CpioError) as error:
        detail = f"its initrd cannot be read ({error})"
        raise PackageUnexpected(recipe.INSTALLER_PACKAGE, detail) from error
