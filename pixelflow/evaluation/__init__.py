"""Evaluations: images of a run or from files, beside real ones, measured and recorded."""
