"""Who does it: tasks, claims and workers."""
