"""Downloads images and prepares them as uint8 arrays, one file per split."""
