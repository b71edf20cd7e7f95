"""The door for people at a terminal: each command parses, calls and answers."""
