"""A recording run again by one process, which can be forked: the ground that time travel stands on."""
