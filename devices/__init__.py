"""Everything on the bus: one process a device, each a pure model and a backend."""
