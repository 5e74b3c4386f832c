"""Backends of the USB controller: one file for each thing that can be behind a port, and the multiplexer of ports."""
