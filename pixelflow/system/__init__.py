"""The machine below: files, locks, caches, memory, devices, terminals, errors, and the seams to third parties."""
