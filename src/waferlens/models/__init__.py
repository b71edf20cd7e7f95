"""The networks, the ELBO and its terms, and the detector: one graph from raw pixels to five outputs.

Shape legend of every module here: B batch, C channels, H = W = 256 pixels, Z = 128 latent dimensions,
K error scales. Images are (B, 1, H, W) float32 in [0, 1] unless a line says otherwise.
"""
