"""Backends of keyboards, mice and tablets: one file for each way events come from the host."""
