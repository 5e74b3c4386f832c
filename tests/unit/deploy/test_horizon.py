"""A broker on another host goes out of sight: how long it is waited for, and what `ps` is told meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.supervision.horizon import PATIENCE_S, RETURN_S, Horizon
from deploy.supervision.place import ServicePlaces

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """Seconds that a test lets pass."""

    now_s = 5.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def test_a_broker_that_comes_back_is_no_news_twice(tmp_path: Path) -> None:
    places = ServicePlaces(tmp_path)
    horizon = Horizon(places, awaits=True, clock=Clock())
    assert not horizon.seen(recorded=True)
    assert not horizon.is_dark()
    horizon.lost("the connection was lost")
    assert horizon.is_dark()
    assert places.returning.read_text() == "the connection was lost; another broker is waited for\n"
    assert horizon.seen(recorded=True)
    assert not horizon.seen(recorded=True)
    assert not horizon.is_dark()
    assert not places.returning.exists()


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("awaits", [True, False])
def test_a_broker_that_does_not_is_given_up(tmp_path: Path, awaits: bool, recorded: bool) -> None:
    places, clock = ServicePlaces(tmp_path), Clock()
    horizon = Horizon(places, awaits=awaits, clock=clock)
    assert not horizon.seen(recorded=recorded)
    returns = awaits and recorded
    patience_s = RETURN_S if returns else PATIENCE_S
    assert horizon.given_up() == ""
    horizon.lost("the connection was lost")
    clock.now_s += patience_s - 1
    # That it is lost again, by whoever connects anew, does not begin the wait again.
    horizon.lost("the connection was lost")
    assert horizon.given_up() == ""
    assert places.returning.exists() == returns
    clock.now_s += 1
    assert horizon.given_up() == f"the connection was lost; no broker came within {patience_s:.0f} s"
    assert not places.returning.exists()
