"""A recording on disk: the machine it was made with and the log of everything that was said in it.

Lives here: the directory's layout, writing it, reading it, the chain of messages (docs/log-format.md).
Never here: what a message means, who sends it, who compares it.
"""

from machine.recording.chain import Chain
from machine.recording.facts import Facts, GuestFile, check_files, gather_facts
from machine.recording.reader import Recording
from machine.recording.summary import ChannelCount, Summary
from machine.recording.writer import RecordingWriter

__all__ = [
    "Chain",
    "ChannelCount",
    "Facts",
    "GuestFile",
    "Recording",
    "RecordingWriter",
    "Summary",
    "check_files",
    "gather_facts",
]
