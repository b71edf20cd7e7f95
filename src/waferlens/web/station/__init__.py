"""The station in the browser: pages drawn on the server, all that they load inside the package."""
