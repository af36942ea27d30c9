"""The console at `/console`: HTML that works without JavaScript, and a little better with HTMX."""

from litestar import Router
from litestar.exceptions import HTTPException
from litestar.static_files import create_static_files_router

from serving.console.deciding import decide, record_consent, show_decide, simulate
from serving.console.frame import (
    NO_FILE,
    STATIC,
    SignedOut,
    on_defect,
    on_http,
    on_ledger_unavailable,
    on_no_file,
    on_refusal,
    on_signed_out,
    show_sign_in,
    sign_in,
    sign_out,
)
from serving.console.lifting import show_effect
from serving.console.overview import (
    change_bundles,
    change_campaign,
    change_safety,
    export_campaign,
    show_bundles,
    show_campaign,
    show_safety,
)
from serving.console.people import show_customers
from serving.console.wordings import decide_wording, propose_wording, show_wordings
from serving.ledger import LedgerUnavailable
from serving.problems import Problem

console_router = Router(
    "/console",
    route_handlers=[
        show_sign_in,
        sign_in,
        sign_out,
        show_decide,
        decide,
        simulate,
        record_consent,
        show_customers,
        show_campaign,
        show_effect,
        change_campaign,
        export_campaign,
        show_bundles,
        change_bundles,
        show_wordings,
        propose_wording,
        decide_wording,
        show_safety,
        change_safety,
        create_static_files_router(
            "/static",
            directories=[STATIC],
            include_in_schema=False,
            exception_handlers=dict.fromkeys(NO_FILE, on_no_file),
        ),
    ],
    exception_handlers={
        SignedOut: on_signed_out,
        Problem: on_refusal,
        HTTPException: on_http,
        LedgerUnavailable: on_ledger_unavailable,  # or that of the API, which the application has, goes before the last
        Exception: on_defect,
    },
    include_in_schema=False,
)
