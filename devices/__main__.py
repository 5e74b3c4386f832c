"""One device as a process: `python -m devices --node serial0 --board FILE --broker ENDPOINT`."""

from __future__ import annotations

import sys

from devices.node import run_device
from machine.leaving import leave
from machine.node import parse_arguments, run_node

if __name__ == "__main__":
    leave(run_node(parse_arguments(sys.argv[1:]), run_device))
