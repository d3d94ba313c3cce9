"""Drawing images from a model, and laying them out as pictures."""
