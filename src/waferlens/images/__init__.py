"""Image files, data sets and splits: from bytes on disk to canonical 256x256 pixels with a known origin."""
