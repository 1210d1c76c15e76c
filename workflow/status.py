"""`make status`: where each run with results in a folder, or below it, stands: `python workflow/status.py results`."""

import sys
from pathlib import Path

# It runs by whatever Python there is.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Python 3.11 or newer is needed: make status PYTHON=python3.12")

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

from autoencoders.jobs.run_status import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
