"""The description of the API: OpenAPI 3.1 at `/schema`, for whoever has a key."""

import msgspec
from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Server, Tag

import retentionjax
from serving.security.guards import requires

SCHEME = "ApiKey"
TAGS = {
    "decisions": "Whom to contact, with which offer, when",
    "outcomes": "What happened after decisions",
    "customers": "Consent, and all that the ledger holds of a customer",
    "campaigns": "Budgets, spend and pace",
    "bundles": "What decides: active, canary, shadow",
    "admin": "The kill switch",
    "health": "For those who run it",
}
_DESCRIPTION = """\
Decides, writes, checks and remembers. A request carries a customer's facts; risk, cooldown, consent and budget are the
service's own.

Every refusal is a problem document (RFC 9457) that names the fields at fault. Money is in micro-dollars (`*_micros`).
A key has one role: `decide` asks and reports outcomes, `report` reads, `admin` may do everything."""


def config() -> OpenAPIConfig:
    """Litestar's configuration; only JSON and YAML, since pages that show it load scripts from elsewhere."""
    return OpenAPIConfig(
        title="RetentionJax",
        version=retentionjax.__version__,
        description=_DESCRIPTION,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        tags=[Tag(name, description) for name, description in TAGS.items()],
        servers=[Server(url="/")],
        components=Components(
            security_schemes={
                SCHEME: SecurityScheme(type="http", scheme="bearer", description="`Authorization: Bearer rj_…`")
            }
        ),
        security=[{SCHEME: []}],
        openapi_router=Router(
            "/schema", route_handlers=[], guards=[requires("decide", "report")], include_in_schema=False
        ),
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"]), YamlRenderPlugin(path="/openapi.yaml")],
    )


def encode(schema: object) -> bytes:
    """The schema as JSON."""
    return msgspec.json.encode(schema)
