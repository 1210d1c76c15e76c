"""What Table 2 says of methods: the prior that each is made for, and whether its weights are tuned."""

from collections.abc import Mapping

import pandas as pd


def with_methods(table: pd.DataFrame, methods: Mapping[str, Mapping]) -> pd.DataFrame:
    """``table`` of `evidence.score_tables.table2` with the columns native_prior (text, missing for models without) and
    untuned (bool), last.

    ``methods``: by model, "native_prior" and, if the model has penalties, "untuned", the datasets on which their
    weights were not chosen. Cited rows and those of images made elsewhere have neither.
    """
    ours = table["source"] == "ours"
    native = [methods.get(model, {}).get("native_prior") for model in table["model"]]
    untuned = [
        dataset in methods.get(model, {}).get("untuned", ())
        for model, dataset in zip(table["model"], table["dataset"], strict=True)
    ]
    return table.assign(
        native_prior=pd.Series(native, table.index, dtype="string").where(ours),
        untuned=pd.Series(untuned, table.index, dtype=bool) & ours,
    )
