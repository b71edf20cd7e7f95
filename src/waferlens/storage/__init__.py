"""The record: inspections, keys, people and the audit log in a database; images in a content-addressed store."""
