"""The fixture of every test with real processes, and what happens to its directory when the test fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.machine import Home

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a failure for the fixture's end."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or (report.failed and call.when == "call")
    return report


@pytest.fixture
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """The test's directory; it stays when the test fails, and nothing may be left running or lying about."""
    home = Home()
    try:
        yield home
        if request.node.stash.get(_FAILED, False):
            _keep(home)
            return
        left = home.left_behind()
        if left:
            _keep(home)
        assert not left, "left behind: " + "; ".join(left)
        home.remove()
    finally:
        home.end()


def _keep(home: Home) -> None:
    print(f"kept {home.path}")
    for recording in home.recordings():
        print(f"dejavm replay {recording}")
