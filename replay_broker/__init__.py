"""The one order of events: routes, stamps and logs every message between the machine's processes."""
