"""The config: its validation, its defaults, and the grid of cells that it describes."""
