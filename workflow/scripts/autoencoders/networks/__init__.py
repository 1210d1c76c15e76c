"""The autoencoder, what it is trained for, and how."""
