"""Sweeps: many experiments from one file, each done once, and a report that compares them."""
