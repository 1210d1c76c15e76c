"""What a run is asked for: the config, checked and filled in, and the cells that it stands for."""
