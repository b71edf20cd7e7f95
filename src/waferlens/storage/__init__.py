"""The record: inspections, keys, people, audit log in a relational database; images in a content-addressed store."""
