"""Who does it: tasks, claims, workers and executors."""
