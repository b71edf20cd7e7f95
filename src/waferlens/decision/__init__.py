"""From a score to PASS, REVIEW or REJECT; thresholds from data; exact error bounds. No torch, no files."""
