"""Every command in the documents works: blocks marked `sh` are run, options in all others exist.

CONTRIBUTING.md says how a block is marked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import COMMANDS
from devices.backends.char.scriptfile import parse_script

pytestmark = pytest.mark.system

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted(
    path for pattern in ("*.md", "docs/*.md", "docs/adr/*.md", "tests/guests/*.md") for path in ROOT.glob(pattern)
)
FENCE: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S: Final = 100


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its marks, what is in it."""

    page: Path
    marks: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether it is run here."""
        return self.marks == "sh" or (self.marks.startswith("sh ") and not self.marks.startswith("sh skip: "))


def blocks_of(page: Path) -> list[Block]:
    """A page's fenced blocks, in order."""
    return [Block(page, marks.strip(), text) for marks, text in FENCE.findall(page.read_text())]


def shell_pages(*, debian: bool) -> list[Path]:
    """The pages that have something to run, with the Debian guest or without."""
    return [page for page in PAGES if commands_of(page, debian=debian)]


def commands_of(page: Path, *, debian: bool) -> str:
    """Everything on a page that is run, one block after the other."""
    wanted = "sh debian" if debian else "sh"
    return "\n".join(block.text for block in blocks_of(page) if block.runs and block.marks == wanted)


def run(commands: str, directory: Path) -> None:
    """Run commands as a reader would, in a directory where `tests` is the repository's."""
    (directory / "tests").symlink_to(ROOT / "tests")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def name_of(page: Path) -> str:
    """A page's path from the root."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", shell_pages(debian=False), ids=name_of)
def test_the_commands_of_a_page_work(page: Path, tmp_path: Path) -> None:
    run(commands_of(page, debian=False), tmp_path)


@pytest.mark.debian
@pytest.mark.parametrize("page", shell_pages(debian=True), ids=name_of)
def test_the_commands_of_a_page_that_boot_debian_work(page: Path, tmp_path: Path) -> None:
    run(commands_of(page, debian=True), tmp_path)


def test_every_block_is_run_or_says_why_not() -> None:
    for page in PAGES:
        for block in blocks_of(page):
            known = block.marks in ("", "sh", "sh debian", "toml", "console", "python")
            assert known or re.fullmatch(r"sh skip: .+", block.marks), f"{name_of(page)}: unknown mark {block.marks!r}"


def options_of(command: str) -> set[str]:
    """The options of a command of `dejavm`, as its help says."""
    help_text = subprocess.run(
        [sys.executable, "-m", "deploy", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_text))


def test_every_option_that_a_page_shows_exists() -> None:
    options = {command: options_of(command) for command in COMMANDS}
    wrong = []
    for page in PAGES:
        for line in re.findall(r"dejavm ([a-z]+ [^`\n]*)", page.read_text()):
            command, _, rest = line.partition(" ")
            if command in options:
                # What stands behind a lone -- is another program's.
                shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest.partition(" -- ")[0]))
                wrong += [f"{name_of(page)}: {command} {option}" for option in sorted(shown - options[command])]
    assert not wrong, wrong


def test_every_option_has_its_place_in_the_commands_page() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for command in COMMANDS:
        missing = {option for option in options_of(command) if option.startswith("--") and option not in page}
        assert missing <= {"--help", "--output"}, f"docs/commands.md: {command} {missing}"


def test_every_target_that_a_page_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)`", page.read_text()):
            assert target in targets or page.parent.name == "guests", f"{name_of(page)}: make {target}"


def test_every_link_and_path_that_a_page_names_is_there() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{name_of(page)}: {link}"
        for path in re.findall(
            r"`((?:machine|cpu_node|devices|replay_broker|deploy|tests|proto|docs)/[\w/.-]*)`", page.read_text()
        ):
            shown = re.search(r"[A-Z]{2}|NNNN", path.removeprefix("docs/"))
            assert shown or (ROOT / path).exists(), f"{name_of(page)}: {path}"


def test_the_script_that_is_shown_is_a_script() -> None:
    (script,) = [b.text for b in blocks_of(ROOT / "docs" / "devices.md") if b.text.startswith("expect")]
    assert len(parse_script(script, "docs/devices.md")) == 7
