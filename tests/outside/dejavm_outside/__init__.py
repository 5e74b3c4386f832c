"""A device and backends from outside, built on devices.api alone."""
