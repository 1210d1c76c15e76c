"""How good images are: features of them, and what is measured between two sets."""
