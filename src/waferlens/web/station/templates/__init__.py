"""Pages and parts of pages, filled by ``shell``."""
