"""Tables as parquet: every file appears whole or not at all."""

from pathlib import Path

import pandas as pd

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import atomic, of_the_disk


def write_parquet(path: str | Path, table: pd.DataFrame) -> None:
    """Without its index."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: str | Path) -> pd.DataFrame:
    """The table of ``write_parquet``. Raises UserError for a file that does not hold one."""
    # Opened here: a damaged file is an OSError of pyarrow's, as a missing one is.
    with open(path, "rb") as file:
        try:
            return pd.read_parquet(file)
        except (ValueError, OSError, KeyError) as error:
            if of_the_disk(error):
                raise
            raise UserError(
                f"{path} is not a readable parquet file ({error}). Delete it, and it is made again."
            ) from error
