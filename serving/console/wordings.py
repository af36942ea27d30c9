"""Wordings of messages: by kind, with a form to propose one's own, to edit and to decide."""

import itertools
import re
from typing import Any

import msgspec
from litestar import Response, get, post

from retentionjax.shield.brief import CHANNELS, TONES
from serving.console.frame import Http, done_at, full_page, read_form, signed_in
from serving.domain.variants import VariantDecisionIn, VariantIn, decide, propose, stored, variants_now
from serving.express import decode
from serving.problems import Problem, count

PAGE = "/console/wordings"


@get("/wordings", guards=[signed_in("report")])
async def show_wordings(request: Http) -> Response[str]:
    """All wordings by kind, and a form for one's own."""
    return await _page(request)


async def _page(
    request: Http, draft: dict[str, str] | None = None, problem: Problem | None = None, status: int = 200
) -> Response[str]:
    """The page; with a `draft` that was refused, which stays in the form, and why."""
    state = request.app.state
    found = await variants_now(state, request.auth.caller)
    kinds = [
        (kind, list(group))
        for kind, group in itertools.groupby(found, lambda each: (each.offer, each.channel, each.tone, each.angle))
    ]
    values: dict[str, Any] = {
        "kinds": kinds,
        "offers": list(state.engine.active.bundle.offers),
        "channels": CHANNELS,
        "tones": TONES,
        "draft": dict.fromkeys(("text", "offer", "channel", "tone", "angle", "former"), "") | (draft or {}),
        "problem": problem,
        "doubts": [each.allowed for each in problem.errors if each.field == "despite"] if problem else [],
        "caller": str(request.auth.caller),
    }
    return await full_page(request, "wordings.html", title="Wordings", status=status, **values)


@post("/wordings", guards=[signed_in()], status_code=200)
async def propose_wording(request: Http) -> Response[Any]:
    """Keeps a wording; an edited one takes the place of that which it was once it is approved."""
    fields = await read_form(request)
    fields["text"] = fields.get("text", "").replace("\r\n", "\n").strip()
    former, despite = fields.get("former", ""), fields.pop("despite", "")
    given: dict[str, Any] = {name: fields[name] for name in fields if name != "former"}
    try:
        wanted = decode(msgspec.json.encode(given | {"despite": re.findall(r"[^, ]+", despite)}), VariantIn)
        state, caller = request.app.state, request.auth.caller
        before = await stored(state, former) if former else None
        await propose(state, caller, [wanted], "", before)
    except Problem as problem:
        count(request, problem)
        return await _page(request, fields, problem, problem.status)
    return done_at(PAGE, "edited" if former else "proposed")


@post("/wordings/decide", guards=[signed_in()], status_code=200)
async def decide_wording(request: Http) -> Response[Any]:
    """Approves, refuses or retires a wording."""
    fields = await read_form(request)
    variant_id = fields.pop("variant_id", "")
    wanted = decode(msgspec.json.encode(fields), VariantDecisionIn)
    await decide(request.app.state, request.auth.caller, variant_id, wanted.state)
    return done_at(PAGE, wanted.state)
