"""Recordings in the formats of other programs: packets for Wireshark, terminals for asciinema, time lines for Perfetto.

Lives here: one module a format, each written message by message.  Never here: reading the log.
"""
