"""The description of the API: OpenAPI 3.1 at `/schema`, for whoever has a key.

Litestar describes the addresses; msgspec, which checks the bodies, describes them, and the active bundle describes the
facts of a customer. So what the description allows is what is accepted.
"""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from litestar import Litestar, Request, Router
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Server, Tag
from litestar.routes import BaseRoute
from litestar.serialization import encode_json
from litestar.types import ControllerRouterHandler

import retentionjax
from retentionjax.data.schema import LEAST_CHARGE, MOST_CHARGE, Schema
from retentionjax.decide.facts import Facts
from serving.domain.contacts import ListedId
from serving.domain.outcomes import OutcomeIn
from serving.security.bodies import INT64
from serving.security.gate import requires

SCHEME = "ApiKey"
TAGS = {
    "decisions": "Whom to contact, with which offer, when",
    "contacts": "Messages to be sent now",
    "outcomes": "What happened after decisions",
    "customers": "Consent, and a customer's contacts with their money",
    "campaigns": "Budgets, spend and pace",
    "bundles": "What decides: active, canary, shadow",
    "admin": "The kill switch",
    "health": "For those who run it",
}
_DESCRIPTION = """\
Decides, writes, checks and remembers. A request carries a customer's facts; risk, cooldown, consent and budget are the
service's own.

Every refusal is a problem document (RFC 9457) that names the fields at fault. Money is in the currency of the
bundle's company, `*_micros` in millionths of it.
A key has one role: `decide` asks, sends and reports outcomes, `report` reads all but what is to be sent,
`admin` may do everything."""
_REFERENCE = "#/components/schemas/{name}"
_LARGEST = float(np.finfo(np.float32).max)  # the models compute in float32


class _Document(JsonRenderPlugin):
    """JSON only: pages that show it load their scripts from elsewhere."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        app = request.app
        served = app.state.engine.active
        made: dict[str, bytes] = app.state.setdefault("openapi_documents", {})
        if served.id not in made:
            made.clear()
            made[served.id] = msgspec.json.encode(document(app, openapi_schema, served.decider.facts))
        return made[served.id]


class _Addresses(Router):
    """The addresses of the description, without the page in HTML by which Litestar says that there is no other."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """The routes of a handler; none of that page's."""
        return [] if getattr(value, "media_type", None) == MediaType.HTML else super().register(value)


def config() -> OpenAPIConfig:
    """Litestar's configuration."""
    guarded = _Addresses("/schema", route_handlers=[], guards=[requires("decide", "report")], include_in_schema=False)
    bearer = SecurityScheme(type="http", scheme="bearer", description="`Authorization: Bearer rj_…`")
    return OpenAPIConfig(
        title="RetentionJax",
        version=retentionjax.__version__,
        description=_DESCRIPTION,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        tags=[Tag(name, description) for name, description in TAGS.items()],
        servers=[Server(url="/")],
        components=Components(security_schemes={SCHEME: bearer}),
        security=[{SCHEME: []}],
        openapi_router=guarded,
        render_plugins=[_Document(path=["/", "/openapi.json"])],
    )


def document(app: Litestar, schema: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """The whole description as plain values, `facts` being what is known of a customer."""
    plain: dict[str, Any] = msgspec.json.decode(encode_json(schema))
    kinds = list(dict.fromkeys([*_bodies(app), OutcomeIn]))
    _, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    if missing := plain["components"]["schemas"].keys() - components.keys():
        raise AssertionError(f"no handler names {', '.join(sorted(missing))}")
    plain["components"]["schemas"] = components
    plain["webhooks"] = {"contactsDue": {"post": _webhook()}}
    _narrow(components, facts)
    return plain


def _webhook() -> dict[str, Any]:
    """What is posted to the operator's address, the setting `webhook`."""
    signature = (
        "`t=SECONDS,v1=HEX`: HMAC-SHA-256, by the setting `webhook_secret`, of SECONDS, a full stop and the body"
    )
    return {
        "operationId": "contactsDue",
        "summary": "Messages to be sent now",
        "description": "Posted until it is answered with 2xx; redirects are not followed. A message may come twice, by "
        "the same `decision_id`.",
        "parameters": [
            {
                "name": "RetentionJax-Signature",
                "in": "header",
                "required": False,
                "description": signature,
                "schema": {"type": "string", "pattern": "^t=[0-9]+,v1=[0-9a-f]{64}$"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="DuesOut")}}},
        },
        "responses": {"2XX": {"description": "The messages are reported as sent"}},
    }


def _narrow(components: dict[str, Any], facts: Facts) -> None:
    """Says what the facts of a customer are, and what the rows of batches, each of which is refused by itself."""
    components["DecisionOfBatch"] = copy.deepcopy(components["DecisionIn"]) | {"title": "DecisionOfBatch"}
    components["DecisionsIn"]["properties"]["decisions"]["items"] = {"$ref": _REFERENCE.format(name="DecisionOfBatch")}
    components["OutcomesIn"]["properties"]["outcomes"]["items"] = {"$ref": _REFERENCE.format(name="OutcomeIn")}
    components["SentIn"]["properties"]["decision_ids"]["items"] = msgspec.json.schema(ListedId)
    for name in ("DecisionIn", "SimulationIn"):
        components[name]["properties"]["facts"] |= _of_facts(facts)


def _bodies(app: Litestar) -> Iterator[Any]:
    """Types of all bodies, asked for and answered."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and handler.resolve_include_in_schema():
                if handler.parsed_data_field is not None:
                    yield handler.parsed_data_field.annotation
                answered = handler.parsed_return_field
                yield from (each.annotation for each in answered.inner_types or (answered,))
                yield from (each.data_container for each in (handler.responses or {}).values())


def _of_facts(facts: Facts) -> dict[str, Any]:
    """JSON Schema of a customer's facts; a company's own columns may stand for those that are made of them."""
    schema = facts.schema
    names = list(dict.fromkeys((*schema.features, str(schema.charge))))
    made_of = {name: facts.made_of[name] for name in names if name in facts.made_of}
    own = {
        column: {"description": f"May stand for {name}, with all of {', '.join(columns)}"}
        for name, columns in made_of.items()
        for column in columns
        if column not in names
    }
    example = {name: schema.categorical[name][0] if name in schema.categorical else 12 for name in names}
    return {
        "properties": {name: _of_fact(schema, name) for name in names} | own,
        "required": [name for name in names if name not in made_of],
        "additionalProperties": False,
        "examples": [example],
    }


def _of_fact(schema: Schema, name: str) -> dict[str, Any]:
    """JSON Schema of one fact: types apart, since generators of clients read no list that mixes them."""
    found: list[dict[str, Any]] = [{"type": "null"}] if name in schema.nullable else []
    if name in schema.categorical:
        texts = list(schema.categorical[name])  # no enum: an unseen category is `other`, not an error
        found.append({"type": "string", "examples": texts} | ({} if "" in texts or found else {"minLength": 1}))
        found.append({"type": "integer", "minimum": -INT64, "maximum": INT64 - 1})
    elif name == schema.charge:
        found.append({"type": "number", "minimum": LEAST_CHARGE, "maximum": MOST_CHARGE})
    else:
        found.append({"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST})
    return found[0] if len(found) == 1 else {"anyOf": found}
