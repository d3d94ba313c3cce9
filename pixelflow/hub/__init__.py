"""Exchange with others: folders that diffusers opens, and the Hugging Face Hub."""
