"""What the service tells about itself, for Prometheus."""
