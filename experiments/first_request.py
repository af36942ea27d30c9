"""How to go on after training: the command that serves a run's bundle, and the first request to it."""

import json
import shlex

from etils import epath

from retentionjax import storage
from retentionjax.bundle import pointer
from retentionjax.bundle.customer import HISTORY, ID, RECIPIENT
from retentionjax.errors import BundleError

CUSTOMERS = "bundle/artifacts/customers"
REQUEST = "request.json"
_EXPECTED = 1000  # customers of the first campaign


def words(run: epath.Path) -> list[str]:
    """Writes `request.json` into the run and returns the lines to print; none for a run without a bundle."""
    customers = sorted((run / CUSTOMERS).glob("*.json")) if (run / CUSTOMERS).is_dir() else []
    try:
        pointer.find(run)
    except BundleError:
        return []
    if not customers:
        return []
    storage.write_json(run / REQUEST, request(storage.read_json(customers[0])))
    place, examples = shlex.quote(str(run)), shlex.quote(str(run / CUSTOMERS))
    header = "-H 'Content-Type: application/json'"
    curl = f'curl -s http://127.0.0.1:8080/v1/decisions -H "Authorization: Bearer $KEY" {header}'
    return [
        "Serve it (set-up: `bash scripts/setup.sh serve`); the first start prints an admin key:",
        f"  retentionjax serve --bundle {place} --campaign-customers {_EXPECTED} --console-examples {examples}",
        "Ask it, with KEY set to that key (a customer who has not consented is not contacted; the answer says so):",
        f"  {curl} -d {shlex.quote(f'@{run / REQUEST}')}",
    ]


def request(customer: dict[str, object]) -> dict[str, object]:
    """The body of `POST /v1/decisions` for a customer's file; her history is the ledger's business."""
    plain = json.loads(json.dumps(customer))
    identity, recipient = plain.pop(ID), plain.pop(RECIPIENT, {})
    plain.pop(HISTORY, None)
    return {"customer_id": identity, "facts": plain, "explain": True, **recipient}
