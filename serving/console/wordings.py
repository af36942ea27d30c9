"""Wordings of messages: read, edited, approved, refused; and what customers did with each."""

import asyncio
import itertools
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect

from serving.console.frame import Http, full_page, read_form, signed_in
from serving.domain.variants import VariantDecisionIn, VariantIn, decide, propose, variants_now
from serving.express import decode

PAGE = "/console/wordings"


@get("/wordings", guards=[signed_in("report")])
async def show_wordings(request: Http) -> Response[str]:
    """All wordings by kind, and a form for one's own."""
    state = request.app.state
    found = await asyncio.to_thread(variants_now, state)
    kinds = [
        (kind, list(group))
        for kind, group in itertools.groupby(found, lambda each: (each.offer, each.channel, each.tone, each.angle))
    ]
    offers = list(state.engine.lineup.active.served.bundle.offers)
    return await full_page(request, "wordings.html", title="Wordings", kinds=kinds, offers=offers)


@post("/wordings", guards=[signed_in()], status_code=200)
async def propose_wording(request: Http) -> Response[Any]:
    """Keeps a wording; an edited one takes the place of that which it was."""
    fields = await read_form(request)
    former, who = fields.pop("former", ""), str(request.auth.caller)
    fields["text"] = fields.get("text", "").replace("\r\n", "\n").strip()
    wanted = decode(msgspec.json.encode(fields), VariantIn)
    (made,) = await asyncio.to_thread(propose, request.app.state, [wanted], "", who)
    if former and former != made.id:
        await asyncio.to_thread(decide, request.app.state, former, "refused", who)
    return Redirect(f"{PAGE}?done=Proposed. It is sent once it is approved.", status_code=303)


@post("/wordings/decide", guards=[signed_in()], status_code=200)
async def decide_wording(request: Http) -> Response[Any]:
    """Approves, refuses or retires a wording."""
    fields = await read_form(request)
    variant_id = fields.pop("variant_id", "")
    wanted = decode(msgspec.json.encode(fields), VariantDecisionIn)
    await asyncio.to_thread(decide, request.app.state, variant_id, wanted.state, str(request.auth.caller))
    return Redirect(f"{PAGE}?done={wanted.state.capitalize()}.", status_code=303)
