"""A page in the browser over the folder of runs; nothing of it leaves the machine. Needs gradio (extra ``ui``)."""
