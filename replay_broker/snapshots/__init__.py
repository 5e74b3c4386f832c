"""Snapshots while the machine runs: asking the nodes, having what they say written, starting from one."""
