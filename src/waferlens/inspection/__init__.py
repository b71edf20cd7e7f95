"""The use case: decode an image, infer, decide, and show why."""
