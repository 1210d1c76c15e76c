"""From where images come to uint8 arrays, one file a split."""
