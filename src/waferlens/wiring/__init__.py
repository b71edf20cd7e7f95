"""Plain assembly: the chapters put together for one job each. No rule lives here."""
