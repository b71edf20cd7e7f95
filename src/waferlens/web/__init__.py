"""Doors for machines and people: the HTTP API, its documentation page, a client, a load generator."""
