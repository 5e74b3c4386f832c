"""One guest CPU with its memory, interrupt controller, timer and firmware."""
