"""The lower ends of the ranges in pyproject.toml, which `make test-oldest` installs."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from tests.tidy.oldest import dependencies, newer, oldest


def test_each_dependency_of_a_user_has_a_lowest_version() -> None:
    bounds = {requirement.name: oldest(requirement) for requirement in dependencies()}
    assert bounds["unicorn"] == "2.1.4"
    assert "distributed" in bounds
    assert "pytest" not in bounds


def test_a_range_without_a_lower_end_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"xxhash<5: it needs one lower bound"):
        oldest(Requirement("xxhash<5"))


def test_another_version_than_the_lowest_is_named() -> None:
    assert newer({"unicorn": "2.1.4"}) == []
    assert newer({"unicorn": "1.0"}) == ["unicorn: 2.1.4 is installed, not 1.0\n"]
