"""The routes of the page and of its files, all of which this server provides."""

import importlib.util
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from litestar import Router, get
from litestar.datastructures import CacheControlHeader
from litestar.response import File, Response
from litestar.static_files import create_static_files_router

from inference_server.http.auth import OPEN

_FILES = "/page-files"

# Plotly writes style elements and draws its exported picture from a blob.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_A_YEAR_S = 365 * 24 * 3600


@get("/", include_in_schema=False, opt=OPEN)
async def index() -> Response[str]:
    """Return the page."""
    text = files(__package__).joinpath("static", "index.html").read_text(encoding="utf-8")
    return Response(
        # The version is part of the address, so that browsers may cache the library for ever.
        text.replace("PLOTLY_VERSION", version("plotly")),
        media_type="text/html",
        headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
    )


@get("/page-plotly.min.js", include_in_schema=False, opt=OPEN)
async def plotly() -> File:
    """Return the chart library from the installed package."""
    return File(
        path=_plotly_file(),
        media_type="text/javascript",
        content_disposition_type="inline",
        headers={"Cache-Control": f"public, max-age={_A_YEAR_S}, immutable"},
    )


def page_files() -> Router:
    """Return the routes of the page and its files; they need no key, and the page asks for one for data."""
    static = create_static_files_router(
        path=_FILES,
        directories=[Path(__file__).parent / "static"],
        include_in_schema=False,
        cache_control=CacheControlHeader(
            no_cache=True
        ),  # so that a browser does not mix files of two versions
        opt=OPEN,
    )
    return Router(path="/", route_handlers=[index, plotly, static])


def _plotly_file() -> Path:
    """Return the path of the library without importing its Python package, which is slow."""
    package = importlib.util.find_spec("plotly")
    assert package is not None  # a dependency of this extra
    assert package.origin is not None
    return Path(package.origin).parent / "package_data" / "plotly.min.js"
