"""Exchange with others: folders that diffusers opens, the Hugging Face Hub, and models that packages bring."""

ADDRESSES = ("hf:/", "zoo:")
"""How the name of a run begins that lies elsewhere; see `address`."""
