"""The host's side of network cards: cables to processes, sockets, interfaces and files."""
