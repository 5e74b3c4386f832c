"""The style, executed: every rule of docs/STYLE.md that a program can check, with what to do instead."""

from __future__ import annotations

import ast
import ipaddress
import re
import tomllib
from typing import TYPE_CHECKING, Final

import pytest

from devices.registry import DEVICES
from tests.tidy.sources import PACKAGES, ROOT, Source, python_sources, sources, tracked_names

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_LINES: Final = 400
FUNCTION_LINES: Final = 40
NATIVE_FUNCTION_LINES: Final = 60
BANNED_STEMS: Final = ("utils", "util", "common", "misc", "helpers", "helper")
SELF = "tests/tidy/test_tidy.py"
DISPLAYS: Final = (ast.List, ast.Set, ast.ListComp, ast.SetComp)
TABLES: Final = (ast.Dict, ast.DictComp)
MUTABLE_CALLS: Final = ("list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict")
PUBLIC_HOSTS: Final = ("mcap.dev", "keepachangelog.com", "semver.org")
DEVICE_FILES: Final = ("__init__", "model", "state", "registers")


def report(found: list[str]) -> None:
    """Fail with every finding on its own line."""
    assert not found, "\n" + "\n".join(found)


def test_no_file_is_longer_than_a_reader_keeps_in_mind() -> None:
    lengths = {s.name: len(s.text.splitlines()) for s in sources(".py", ".c", ".h", ".S")}
    report(
        [
            f"{n}: {size} lines, split it by noun (limit {FILE_LINES})"
            for n, size in lengths.items()
            if size > FILE_LINES
        ]
    )


def test_no_function_is_longer_than_a_screen() -> None:
    functions = [
        (source, node)
        for source in python_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    report([f"{s.name}:{f.lineno}: {f.name}, {n} lines" for s, f in functions if (n := body_lines(f)) > FUNCTION_LINES])


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """A function's lines, its docstring not counted."""
    assert node.end_lineno is not None
    size = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        assert first.end_lineno is not None
        size -= first.end_lineno - first.lineno + 1
    return size


def test_no_native_function_is_longer_than_a_screen() -> None:
    found = []
    for source in sources(".c"):
        if source.is_test:
            continue
        start = 0
        for number, line in enumerate(source.text.splitlines(), 1):
            if line == "{":
                start = number
            elif line == "}" and start and number - start > NATIVE_FUNCTION_LINES:
                found.append(f"{source.name}:{start}: {number - start} lines (limit {NATIVE_FUNCTION_LINES})")
    report(found)


def test_every_file_is_called_by_what_is_in_it() -> None:
    stems = {s.name: s.name.rpartition("/")[2].partition(".")[0] for s in sources(".py", ".c", ".h")}
    report([f"{name}: name it by the noun it holds" for name, stem in stems.items() if stem in BANNED_STEMS])


def test_every_module_says_what_it_is() -> None:
    modules = [s for s in python_sources() if s.text.strip()]
    report([f"{s.name}: one sentence in a docstring, please" for s in modules if not ast.get_docstring(s.tree)])


def test_nothing_at_module_level_can_change() -> None:
    report([finding for source in python_sources() if not source.is_test for finding in mutable_globals(source)])


def mutable_globals(source: Source) -> Iterator[str]:
    """Module-level objects that a function could change; tables are allowed where they are Final."""
    for node in source.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        final = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith("Final")
        called = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
        where = f"{source.name}:{node.lineno}: {target}"
        if target != "__all__" and (isinstance(node.value, DISPLAYS) or called in MUTABLE_CALLS):
            yield f"{where} can be changed: make it a tuple, or hand it down from main()"
        if isinstance(node.value, TABLES) and not final:
            yield f"{where}: a table is Final, with Mapping as its type"


def test_nobody_prints_or_leaves_a_note_to_himself() -> None:
    found = []
    for source in sources(".py", ".c", ".h", ".toml", ".proto"):
        if source.name == SELF:
            continue
        for number, line in enumerate(source.text.splitlines(), 1):
            if re.search(r"\b(FIXME|XXX|TODO|HACK)\b", line):
                found.append(f"{source.name}:{number}: do it, or write it where others find it")
            if not source.is_test and source.name.endswith(".py") and re.search(r"(?<![\w.])print\(", line):
                found.append(f"{source.name}:{number}: results by sys.stdout.write, diagnostics by logging")
    report(found)


def imported_names(source: Source) -> set[str]:
    """Every module a file imports, by `import`, `from` and by name in a text: "tests.x:NAME", "-m tests.x".

    A name that is put together, f"tests.saboteurs.{name}", stands for the whole folder: "tests.saboteurs.".
    """
    names = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(r"(?:[a-z_]+\.){2,}(?=$|\{)|[a-z_]+(?:\.[a-z_0-9]+)+", node.value))
    return names


def test_every_file_is_used_by_another() -> None:
    files = python_sources()
    used = set().union(*(imported_names(source) for source in files))
    texts = (ROOT / "Makefile").read_text() + (ROOT / "pyproject.toml").read_text()
    used |= set(re.findall(r"[a-z_]+(?:\.[a-z_0-9]+)+", texts))
    entries = ("setup", "conftest")
    found = []
    for source in files:
        stem = source.module.rpartition(".")[2]
        if stem in entries or stem == "__main__" or stem.startswith("test_") or source.name.endswith("__init__.py"):
            continue
        if source.module not in used and source.module.rpartition(".")[0] + "." not in used:
            found.append(f"{source.name}: nobody imports it; delete it")
    report(found)


def test_every_device_folder_has_the_same_rooms() -> None:
    for kind in DEVICES:
        missing = [name for name in DEVICE_FILES if not (ROOT / "devices" / kind / f"{name}.py").is_file()]
        assert not missing, f"devices/{kind}: {', '.join(missing)}: see docs/devices.md"


def test_the_contract_of_pure_models_names_every_device() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = [contract for contract in contracts if contract["name"].startswith("Models are pure")]
    assert set(pure["source_modules"]) == {f"devices.{kind}" for kind in DEVICES}


@pytest.mark.parametrize("array", ["requires", "dependencies", "dev"])
def test_every_dependency_has_its_reason(array: str) -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{array} = ["))
    if array == "requires":
        assert lines[start - 1].startswith("# "), "say why the build needs it"
        return
    entries = lines[start + 1 : lines.index("]", start)]
    for before, entry in zip(["", *entries], entries, strict=False):
        assert entry.lstrip().startswith("#") or before.lstrip().startswith("#"), f"{entry.strip()}: say why"


def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    place = re.compile(r"(?<![\w.~-])/(?:home|root|work|Users|opt)/[\w.-]+")
    found = []
    for name in tracked_names():
        data = (ROOT / name).read_bytes()
        if b"\0" in data or name in ("LICENSE", SELF):
            continue
        lines = enumerate(data.decode().splitlines(), 1)
        found += [f"{name}:{n}: a path of one machine: {line.strip()}" for n, line in lines if place.search(line)]
    report(found)


def is_nobodys(host: str) -> bool:
    """A name kept for examples (RFC 2606), or an address of no public network (RFC 1918)."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host.endswith((".example", ".invalid"))


def test_no_file_names_a_host_but_public_documentation() -> None:
    found = []
    for name in tracked_names():
        data = (ROOT / name).read_bytes()
        if b"\0" in data or name in ("LICENSE", SELF):
            continue
        hosts = re.findall(r"https?://([\w.-]+\.[\w-]+)", data.decode())
        strange = [host for host in hosts if host not in PUBLIC_HOSTS and not is_nobodys(host)]
        found += [f"{name}: {host}: the host's own configuration says where things come from" for host in strange]
    report(found)


def test_every_package_is_shipped() -> None:
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert shipped == [f"{package}*" for package in PACKAGES]


def test_each_decision_has_a_number_of_its_own_and_says_it() -> None:
    folder = ROOT / "docs" / "adr"
    numbers = [(path.name, int(path.name[:4])) for path in sorted(folder.glob("*.md"))]
    report(
        [f"docs/adr/{name}: number {n} again, or one is left out" for at, (name, n) in enumerate(numbers, 1) if n != at]
    )
    report(
        [
            f"docs/adr/{name}: begins with another number"
            for name, n in numbers
            if not (folder / name).read_text().startswith(f"# {n}. ")
        ]
    )
