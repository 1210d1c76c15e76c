"""Everything that the rules' scripts call: plain functions, one purpose a module."""

import gc

# A job begins by importing PyTorch, which makes objects by the hundred thousand. Python looks for garbage among them
# every 700 objects unless told otherwise: a tenth of a short job's time, and none is found.
gc.set_threshold(100_000, 20, 20)
