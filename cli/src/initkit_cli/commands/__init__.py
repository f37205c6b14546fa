"""One module a command; each holds an ``app`` and imports nothing heavy before it runs."""
