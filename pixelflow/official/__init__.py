"""Exchange with the authors' release."""
