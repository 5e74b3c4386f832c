"""gdb's remote protocol in front of a machine that runs, or of a recording, which goes backwards too."""
