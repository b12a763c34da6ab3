"""Training loops, embedding pretraining and, later, transfer and self-training."""
