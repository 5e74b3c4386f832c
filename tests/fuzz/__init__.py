"""Targets for atheris, which looks for input that takes branches it has not seen; tests/unit/test_fuzz.py runs them."""
