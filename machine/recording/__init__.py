"""A recording on disk: the machine it was made with and the log of everything that was said in it.

Lives here: the directory's layout, writing it, reading it, the chain of messages (docs/log-format.md).
Never here: what a message means, who sends it, who compares it.
"""
