"""What a spec costs: arithmetic and memory by counting, speed by measuring."""
