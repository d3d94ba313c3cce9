"""What a sweep does: its file, the space, the points and their names."""
