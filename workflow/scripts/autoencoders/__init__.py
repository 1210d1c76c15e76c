"""Everything that the rules' scripts call: plain functions, in modules with one purpose each."""

import gc
import logging

# Importing PyTorch creates hundreds of thousands of objects. By default, Python searches them for garbage every 700
# objects, which takes a tenth of a short job's time and finds nothing.
gc.set_threshold(100_000, 20, 20)

# Without a job's log, warnings go nowhere: Snakemake's own process would repeat those of the jobs at each start.
logging.getLogger(__name__).addHandler(logging.NullHandler())
