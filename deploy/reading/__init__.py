"""Looking into recordings: messages as JSON and back, what is wanted of them, two recordings side by side.

Lives here: everything about the contents of a log that a command shows.  Never here: arguments, files for other
programs (deploy/export).
"""
