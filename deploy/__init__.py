"""The `dejavm` command: from a board file to running processes, and from a recording to answers.

Lives here: the command line, which processes there are, starting, watching and ending them.
Never here: code of any node; processes are started by command line and spoken to by messages.
"""
