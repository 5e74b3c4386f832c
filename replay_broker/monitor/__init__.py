"""The machine's control from outside: QMP and a line mode, served by the broker's one loop; never recorded.

Lives here: listening, clients, the two languages, the tables of commands.
Never here: anything the guest sees that is not a recorded input.
"""
