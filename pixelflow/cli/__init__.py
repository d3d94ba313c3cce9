"""The command line: one file a command, bodies import lazily."""
