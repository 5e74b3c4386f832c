"""The subcommands of `dejavm`: one file each, one row each in the table of cli.py."""
