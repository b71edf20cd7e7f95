"""The four file formats, read just far enough to trust them: what a header promises, before anything is
decoded.

Each module walks one format by its specification, refuses what is torn or out of scope, and hands on the
same file without its metadata. So a decoder never sees text, colour profiles, EXIF or tags that it could
choke on or warn about.
"""
