"""The demonstration that comes with the package: a trained bundle, customers to try it on, and the report of its run.

`python -m experiments.demo` makes all of it; README.md beside this file says from what.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
BUNDLE = FOLDER / "bundle"
CARD = FOLDER / "CARD.md"
CUSTOMERS = FOLDER / "customers"
"""Held-out customers as `retentionjax decide` reads them, on the first day of a campaign."""
CUSTOMER = CUSTOMERS / "high_risk_elevated.json"
"""The one that is decided about where none is named."""
DECISION = FOLDER / "decision.json"
"""What is decided about it, as `retentionjax decide --demo --json` prints it."""
REQUEST = FOLDER / "request.json"
"""The same question as the body of `POST /v1/decisions`."""
PEOPLE = FOLDER / "people.json"
"""Facts of further held-out customers, whose past weeks `retentionjax serve --demo` makes up."""
REPORT = FOLDER / "report.html"
"""The run as one page."""
