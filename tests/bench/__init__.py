"""Benchmarks: whole commands, interleaved, medians and ratios of one run; never timed tests."""
