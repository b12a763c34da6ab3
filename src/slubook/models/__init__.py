"""One model a file. Knows nothing of experiments."""
