"""What tables say of methods: the prior that each is made for, and whether its weights are tuned."""

from collections.abc import Iterable, Mapping

import pandas as pd

from autoencoders.evidence.display_names import model_label


def with_native_priors(table: pd.DataFrame, methods: Mapping[str, Mapping]) -> pd.DataFrame:
    """``table`` of `evidence.score_tables.table2` with the column native_prior (text, missing if there is none), last.

    ``methods``: by model, "native_prior" and "untuned", the datasets on which the weights of its penalties were not
    chosen. Cited rows and those of images made elsewhere have no native prior.
    """
    native = [methods.get(model, {}).get("native_prior") for model in table["model"]]
    return table.assign(native_prior=pd.Series(native, table.index, dtype="string").where(table["source"] == "ours"))


def with_untuned(table: pd.DataFrame, methods: Mapping[str, Mapping]) -> pd.DataFrame:
    """``table`` of `evidence.score_tables` with the column untuned (bool), last: whether the row is ours, of a model
    whose weights were not chosen on the dataset. ``methods`` as in ``with_native_priors``.
    """
    ours = table["source"] == "ours" if "source" in table else True
    untuned = [
        dataset in methods.get(model, {}).get("untuned", ())
        for model, dataset in zip(table["model"], table["dataset"], strict=True)
    ]
    return table.assign(untuned=pd.Series(untuned, table.index, dtype=bool) & ours)


def untuned_text(models: Iterable[str], dataset: str, methods: Mapping[str, Mapping]) -> str:
    """A sentence that names those of ``models`` whose weights were not chosen on a dataset; "" if there are none."""
    found = [model_label(model) for model in models if dataset in methods.get(model, {}).get("untuned", ())]
    if not found:
        return ""
    return f"Untuned, with weights that were not chosen on this dataset: {', '.join(found)}."
