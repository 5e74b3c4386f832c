"""Real processes for the tests of this directory."""

from tests.harness.fixtures import home, pytest_runtest_makereport

__all__ = ["home", "pytest_runtest_makereport"]
