"""The snapshots of a recording: whole states of the machine, with its memory as pages by content (docs/log-format.md).

Lives here: the files of `snapshots/`, writing, reading and thinning them, and the process that does the writing.
Never here: what a node's state means, when a snapshot is made, how a run goes on from one.
"""
