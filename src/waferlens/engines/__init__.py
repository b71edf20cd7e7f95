"""Runs a bundle: pixels in, five outputs out, whatever the runtime. The gate that holds the runtimes together."""
