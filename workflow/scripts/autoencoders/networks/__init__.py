"""The autoencoder, its training objective, and its training."""
