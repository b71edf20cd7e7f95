"""The loop on one screen; what it is fed; checkpoints; calibration on held-out normals."""
