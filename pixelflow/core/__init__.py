"""The theory and the contract; imports nothing of pixelflow but ``system``."""
