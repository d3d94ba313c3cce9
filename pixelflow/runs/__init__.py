"""What a run keeps: its folder and records, checkpoints, weights and their average, history."""
