"""`make status`: the state of each run with results in or below a folder (`python workflow/status.py results`)."""

import sys
from pathlib import Path

# It may run outside .venv, with any Python.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Python 3.11 or newer is needed: make status PYTHON=python3.12")

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

from autoencoders.jobs.run_status import main

if __name__ == "__main__":
    # The terminal may lack letters of a name.
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1]))
