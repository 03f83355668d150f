"""Configures the OpenAPI document and its page, which loads nothing from other machines."""

from typing import Any

from litestar import Router
from litestar.dto import AbstractDTO
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, Reference, Schema, SecurityScheme
from litestar.static_files import create_static_files_router
from litestar.typing import FieldDefinition
from openapi_ui_bundles import swagger_ui

from inference_server.http.auth import OPEN
from inference_server.schemas import Problem

API_VERSION = "1.0"
PAGE = "/docs"
_FILES = "/docs-files"

_PROBLEMS = {
    401: "The server requires an API key as a bearer token",
    403: "The key is no admin key",
    404: "Unknown symbol, or no stored forecast",
    409: "The bundle cannot be loaded; the previous one is still served",
    408: "The body did not arrive in time",
    413: "The body is larger than the server accepts",
    415: "The body is not sent as JSON, or compressed in another way than gzip",
    421: "The Host header of a request to a server without keys names another machine",
    422: "The body is not JSON, a field, header or query parameter has the wrong type, or its value cannot "
    "be used; `detail` names it, `given` and `expected` say why",
    429: "The queue is full; Retry-After says when to try again",
    503: "The model is still loading, the server is shutting down, or the database does not answer",
    504: "The request took longer than X-Request-Timeout, or than the time limit of the server",
}


def document() -> OpenAPIConfig:
    """Return the document's configuration; its page is at `PAGE`, the document at `PAGE`/openapi.json."""
    page = SwaggerRenderPlugin(
        js_url=f"{_FILES}/swagger-ui-bundle.js",
        css_url=f"{_FILES}/swagger-ui.css",
        standalone_preset_js_url=f"{_FILES}/swagger-ui-standalone-preset.js",
        favicon=f"<link rel='icon' type='image/png' href='{_FILES}/favicon-32x32.png'>",
    )
    return OpenAPIConfig(
        title="Event-conditioned Kronos forecasts",
        version=API_VERSION,
        openapi_router=Router(PAGE, route_handlers=[], include_in_schema=False, opt=OPEN),
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}, {}],
        use_handler_docstrings=True,
        render_plugins=[page],
    )


def page_files() -> Router:
    """Return the route of the page's scripts and styles, which an installed package provides."""
    return create_static_files_router(
        path=_FILES, directories=[swagger_ui.static_path], include_in_schema=False, opt=OPEN
    )


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the documentation of a route's errors; 421 is possible on every route."""
    return {
        status: ResponseSpec(
            Problem,
            description=_PROBLEMS[status],
            media_type="application/problem+json",
            generate_examples=False,
        )
        for status in (*statuses, 421)
    }


class JsonBody(AbstractDTO[bytes]):
    """Passes the body to a handler as bytes and documents it as `documented`.

    Litestar's own decoding accepts "null" for null and 1e3 for an integer; handlers use `bodies` instead.
    """

    documented: Any

    def decode_bytes(self, value: bytes) -> bytes:
        """Return the body as received."""
        return value

    @classmethod
    def create_for_field_definition(cls, *args: Any, **kwargs: Any) -> None:
        """Do nothing: there is no transfer model to build."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """Return the schema of the documented type."""
        schema: Reference | Schema = schema_creator.for_field_definition(
            FieldDefinition.from_annotation(cls.documented)
        )
        return schema
