"""The theory and the contract; imports nothing of pixelflow outside core."""
