"""Weights of small models, each with a card; there is no code."""
