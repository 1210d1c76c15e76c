"""Between encoder and decoder: codes, priors fitted to them, and how Gaussian they are."""
