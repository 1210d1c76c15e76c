"""Tables as parquet, written atomically."""

from pathlib import Path

import pandas as pd

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, atomic, of_the_disk


def write_parquet(path: str | Path, table: pd.DataFrame) -> None:
    """Write ``table`` without its index."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a table of ``write_parquet``. Raises UserError if the file is damaged."""
    # Opened first: pyarrow raises OSError for a damaged file as well as for a missing one.
    with open(path, "rb") as file:
        try:
            return pd.read_parquet(file)
        except (ValueError, OSError, KeyError) as error:
            if of_the_disk(error):
                raise
            raise UserError(f"{path} is not a readable parquet file ({error}). {AGAIN}") from error
