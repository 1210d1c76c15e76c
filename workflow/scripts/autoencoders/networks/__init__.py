"""The autoencoder, its objective and its training."""
