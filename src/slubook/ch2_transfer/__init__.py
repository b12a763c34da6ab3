"""Chapter 2: transfer from mature domains with stacked multitask bi-LSTMs."""
