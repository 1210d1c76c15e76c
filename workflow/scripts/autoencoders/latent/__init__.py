"""Between encoder and decoder: codes, the priors that are fitted to them, and how Gaussian they are."""
