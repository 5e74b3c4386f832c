"""Kernel modules: which are needed, what they need themselves, and the indexes modprobe reads.

Lives here: reading modules from an unpacked initrd (as bytes), closing over dependencies.
Never here: files; the guest's own layout is in `image`.
"""

import gzip
import lzma
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

import zstandard

from deploy.guest.errors import ModuleMissing, PackageUnexpected
from deploy.guest.recipe import INSTALLER_PACKAGE

SUFFIXES: Final = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")
ELF_MAGIC: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Module:
    """One module, uncompressed, with what its .modinfo section says."""

    name: str
    data: bytes
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The modules that go into the guest, each after everything it depends on."""

    release: str
    modules: tuple[Module, ...]
    built_in: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleTree:
    """The modules of one kernel as an initrd holds them, still compressed."""

    release: str
    files: Mapping[str, tuple[str, bytes]]
    built_in: frozenset[str]

    def absent(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that are neither a module here nor built in."""
        return tuple(name for name in names if name not in self.files and name not in self.built_in)

    def with_more(self, files: Mapping[str, bytes]) -> "ModuleTree":
        """The same kernel's modules with those of other files, which do not replace any."""
        more = {module_name(path): (path, data) for path, data in files.items() if f"/{self.release}/" in path}
        return replace(self, files={**more, **self.files})

    def find(self, name: str) -> Module | None:
        """Unpack a module, or say None if there is none of that name."""
        found = self.files.get(name)
        if found is None:
            return None
        path, packed = found
        data = _decompressed(path, packed)
        modinfo = read_modinfo(data, path)
        depends = tuple(normal_name(each) for each in modinfo.get("depends", ("",))[0].split(",") if each)
        return Module(name, data, depends, modinfo.get("alias", ()))


def module_tree(files: Mapping[str, bytes]) -> ModuleTree:
    """Find the kernel modules among the files of an unpacked initrd."""
    releases: set[str] = set()
    modules: dict[str, tuple[str, bytes]] = {}
    built_in: set[str] = set()
    for path, data in files.items():
        parts = PurePosixPath(path).parts
        if "modules" not in parts[:-2]:
            continue
        release = parts[parts.index("modules") + 1]
        if path.endswith(SUFFIXES):
            releases.add(release)
            modules[module_name(path)] = (path, data)
        elif parts[-1] == "modules.builtin":
            built_in.update(module_name(line) for line in data.decode().split())
    if len(releases) != 1:
        detail = f"its initrd holds modules of {len(releases)} kernels instead of one"
        raise PackageUnexpected(INSTALLER_PACKAGE, detail)
    return ModuleTree(releases.pop(), modules, frozenset(built_in))


def select(tree: ModuleTree, required: Iterable[str], optional: Iterable[str]) -> Selection:
    """Close over dependencies; a missing required module is an error, an optional one is listed."""
    chosen: dict[str, Module] = {}
    built_in: list[str] = []
    missing: list[str] = []
    for name in required:
        if name in tree.built_in:
            built_in.append(name)
        else:
            _add(tree, name, "the guest needs it", chosen)
    for name in optional:
        if name in tree.built_in:
            built_in.append(name)
        elif name in tree.files:
            _add(tree, name, "the guest can use it", chosen)
        else:
            missing.append(name)
    return Selection(tree.release, tuple(chosen.values()), tuple(built_in), tuple(missing))


def modules_dep(modules: Iterable[Module]) -> bytes:
    """Return the modules.dep index: each module with all it needs, the first to load last."""
    by_name = {module.name: module for module in modules}
    lines: list[str] = []
    for module in by_name.values():
        needs = [f"{name}.ko" for name in reversed(_needs(module, by_name))]
        lines.append(" ".join([f"{module.name}.ko:", *needs]))
    return "".join(f"{line}\n" for line in lines).encode()


def modules_alias(modules: Iterable[Module]) -> bytes:
    """Return the modules.alias index: which module drives which device."""
    return "".join(f"alias {alias} {module.name}\n" for module in modules for alias in module.aliases).encode()


def module_name(path: str) -> str:
    """Return the name the kernel gives to the module in a file."""
    return normal_name(PurePosixPath(path).name.split(".")[0])


def normal_name(name: str) -> str:
    """Write a module's name as the kernel does: file names use dashes and underscores at whim."""
    return name.replace("-", "_")


def read_modinfo(module: bytes, path: str) -> Mapping[str, tuple[str, ...]]:
    """Return the key=value strings of a module's .modinfo section."""
    try:
        section = _section(module, b".modinfo")
    except (struct.error, IndexError, ValueError) as error:
        raise PackageUnexpected(INSTALLER_PACKAGE, f"{path} is not a kernel module") from error
    found: dict[str, tuple[str, ...]] = {}
    for item in section.decode(errors="replace").split("\0"):
        key, equals, value = item.partition("=")
        if equals:
            found[key] = (*found.get(key, ()), value)
    return found


def _add(tree: ModuleTree, name: str, wanted_by: str, chosen: dict[str, Module]) -> None:
    if name in chosen or name in tree.built_in:
        return
    module = tree.find(name)
    if module is None:
        raise ModuleMissing(name, wanted_by)
    for dependency in module.depends:
        _add(tree, dependency, f"{name} depends on it", chosen)
    chosen[name] = module


def _needs(module: Module, by_name: Mapping[str, Module]) -> list[str]:
    found: list[str] = []
    for name in module.depends:
        if name in by_name:
            found += [each for each in (*_needs(by_name[name], by_name), name) if each not in found]
    return found


def _decompressed(path: str, packed: bytes) -> bytes:
    match PurePosixPath(path).suffix:
        case ".xz":
            return lzma.decompress(packed)
        case ".gz":
            return gzip.decompress(packed)
        case ".zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        case _:
            return packed


def _section(elf: bytes, wanted: bytes) -> bytes:
    """Return a section of a 64-bit little-endian ELF file (System V ABI, chapter 4)."""
    if not elf.startswith(ELF_MAGIC):
        message = "no ELF magic"
        raise ValueError(message)
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + n * entry_size) for n in range(count)]
    names_offset = headers[names_index][4]
    for name, _, _, _, offset, size in headers:
        start = names_offset + name
        if elf[start : elf.index(b"\0", start)] == wanted:
            return elf[offset : offset + size]
    return b""
