"""The only reader of recipe files and of the environment."""
