"""What it takes to be part of the machine: messages, ports, clocks, state, the board."""

import gc

# Every process imports this early.  What it makes as it starts lives until it ends: looking for garbage in it a
# dozen times would cost each start 6 ms.
gc.set_threshold(50_000, 20, 20)
