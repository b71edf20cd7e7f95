"""The documentation page, from files that are installed with the service: nothing is fetched from anywhere."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from waferlens.errors import NotFound

router = APIRouter(include_in_schema=False)

_PACKAGED = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_START = """window.ui = SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null
})
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>waferlens: the API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon.png">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""


@router.get("/docs")
def page() -> Response:
    """The page that shows the OpenAPI description."""
    return Response(_PAGE, media_type="text/html")


@router.get("/docs/{file}")
def file_of_page(file: str) -> Response:
    """One of its four files."""
    if file == "start.js":
        return Response(_START, media_type="text/javascript")
    if file not in _PACKAGED:
        raise NotFound("no such file")
    return Response((files("fastapi_offline") / "static" / file).read_bytes(), media_type=_PACKAGED[file])
