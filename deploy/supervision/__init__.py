"""A machine as a service: its processes under supervisor, its name, its end."""
