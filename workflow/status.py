"""`make status`: where each run with results in a folder, or below it, stands: `python workflow/status.py results`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

from autoencoders.run_status import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
