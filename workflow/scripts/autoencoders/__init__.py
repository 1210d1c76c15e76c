"""Everything that the rules' scripts call: plain functions, in modules with one purpose each."""

import gc

# Importing PyTorch creates hundreds of thousands of objects. By default, Python searches them for garbage every 700
# objects, which takes a tenth of a short job's time and finds nothing.
gc.set_threshold(100_000, 20, 20)
