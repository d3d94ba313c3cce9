"""A captioned world that is drawn on the fly, and an exact judge of images of it."""
