"""OPTIONS of an address that has several methods."""

from litestar import Response, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler


def allows(path: str, *methods: str) -> HTTPRouteHandler:
    """A handler that says that `path` has `methods`."""

    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": ", ".join((*methods, "OPTIONS"))})

    return options
