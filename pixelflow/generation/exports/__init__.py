"""Images in the layouts that the evaluators of text-to-image benchmarks read."""
