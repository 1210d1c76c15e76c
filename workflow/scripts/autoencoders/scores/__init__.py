"""How good images are: their features, and measures between two sets of them."""
