"""The OpenAPI document and its page, which loads nothing from any other machine."""

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
    401: "This server asks for an API key, as a bearer token",
    403: "The key is no admin key",
    404: "Unknown symbol, or no stored forecast",
    409: "The bundle cannot be loaded; the one served before serves on",
    408: "The body did not arrive in time",
    413: "The body is larger than this server takes",
    415: "The body is not sent as JSON, or packed in another way than gzip",
    421: "A server without keys was asked under a name that is not its own machine's",
    422: "The body is not JSON, a field, header or query parameter has the wrong type, or its value cannot "
    "be used; `detail` names it, `given` and `expected` say why",
    429: "As many forecasts wait as may wait; Retry-After tells when to try again",
    503: "The model is still loading, the server is shutting down, or the database does not answer",
    504: "The request took longer than X-Request-Timeout, or than this server lets one take",
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
    """Return the route of the page's scripts and styles, from the package that carries them."""
    return create_static_files_router(
        path=_FILES, directories=[swagger_ui.static_path], include_in_schema=False, opt=OPEN
    )


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the documentation of a route's refusals; the name it was asked under any route may refuse."""
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
    """Hands a handler its body as bytes and documents it as `documented`.

    Litestar's own decoding takes "null" for null and 1e3 for an integer; handlers decode by `bodies` instead.
    """

    documented: Any

    def decode_bytes(self, value: bytes) -> bytes:
        """Return the body as it came, packed or not."""
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
