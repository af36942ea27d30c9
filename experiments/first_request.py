"""How to go on after training: the command that serves a run's bundle, and the first request to it."""

import json
import shlex

from etils import epath

from retentionjax import storage
from retentionjax.bundle import manifest, pointer
from retentionjax.bundle.customer import HISTORY, ID, RECIPIENT
from retentionjax.errors import BundleError

CUSTOMERS = "bundle/artifacts/customers"
REQUEST = "request.json"
_USUAL = "baseline_churn_probability"
_EXPECTED = 1000  # customers of the first campaign


def words(run: epath.Path) -> list[str]:
    """Writes `request.json` into the run and returns the lines to print; none for a run without a bundle."""
    customers = sorted((run / CUSTOMERS).glob("*.json")) if (run / CUSTOMERS).is_dir() else []
    try:
        advice = manifest.read(pointer.find(run)).advice
    except BundleError:
        return []
    if not customers:
        return []
    customer = storage.read_json(customers[0])
    storage.write_json(run / REQUEST, request(customer))
    place, examples = shlex.quote(str(run)), shlex.quote(str(run / CUSTOMERS))
    header = "-H 'Content-Type: application/json'"
    curl = f'curl -s http://127.0.0.1:8080/v1/decisions -H "Authorization: Bearer $KEY" {header}'
    return [
        *([f"WARNING: {advice}"] if advice else []),
        "Serve it (set-up: `bash scripts/setup.sh serve`); the first start prints an admin key:",
        f"  retentionjax serve --bundle {place} --campaign-customers {_EXPECTED} --console-examples {examples}",
        "Ask it, with KEY set to that key (a customer who has not consented is not contacted; the answer says so):",
        f"  {curl} -d {shlex.quote(f'@{run / REQUEST}')}",
        *_unknown(customer),
    ]


def request(customer: dict[str, object]) -> dict[str, object]:
    """The body of `POST /v1/decisions` for a customer's file; with her usual risk, which a new ledger lacks."""
    plain = json.loads(json.dumps(customer))
    identity, recipient, history = plain.pop(ID), plain.pop(RECIPIENT, {}), plain.pop(HISTORY, {})
    usual = {_USUAL: history[_USUAL]} if history.get(_USUAL) is not None else {}
    return {"customer_id": identity, "facts": plain, "explain": True, **usual, **recipient}


def _unknown(customer: dict[str, object]) -> list[str]:
    """What makes the service decide otherwise than `retentionjax decide` about the file."""
    history = customer.get(HISTORY)
    told = (
        ", ".join(name for name, value in history.items() if name != _USUAL and value)
        if isinstance(history, dict)
        else ""
    )
    if not told:
        return []
    return [f"Its own ledger is what the service goes by, not the file's history ({told}): it may decide otherwise."]
