"""Which pixelflow this is; records and run folders keep it."""

__version__ = "0.1.0"
