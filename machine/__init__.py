"""What it takes to be part of the machine: messages, ports, clocks, state, the board."""
