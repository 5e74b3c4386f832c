"""Backends of character devices: one file for each way bytes reach the host."""
