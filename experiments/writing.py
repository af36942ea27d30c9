"""What the stages that train and use the language model share: the customers messages are about, and the sender."""

from collections.abc import Mapping

import pandas as pd
from etils import epath

from retentionjax.bundle.message import FactRule
from retentionjax.data import Table, catalog
from retentionjax.data.splits import NAMES as SPLITS
from retentionjax.shield import Sender

TELCO = "telco"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What a demo adapts: every projection of the upper layers."""
_LINES = {"DSL": "DSL", "Fiber optic": "fiber"}
FACTS = (
    FactRule("plan", say="monthly phone plan", when={"InternetService": ("No",), "Contract": ("Month-to-month",)}),
    FactRule("plan", say="phone plan", when={"InternetService": ("No",)}),
    *(
        FactRule("plan", say=f"{word} TV bundle", when={"InternetService": (line,), "StreamingTV": ("Yes",)})
        for line, word in _LINES.items()
    ),
    *(FactRule("plan", say=f"{word} internet", when={"InternetService": (line,)}) for line, word in _LINES.items()),
    FactRule("tenure", months="tenure"),
)
"""What a message says of a Telco customer; the language model is trained on the same words."""


NORTHWIND = Sender(
    "Northwind",
    "12 Harbor Street, Springfield",
    ("northwind.example",),
    "https://northwind.example/unsubscribe",
)
"""A made-up company."""


def customers(inputs: Mapping[str, epath.Path]) -> Table:
    """The whole Telco table of the stage `data`, rows in their first order, so that its splits are the same again."""
    prepared = catalog.read(inputs["data"] / "artifacts", TELCO)
    parts = [getattr(prepared, split) for split in SPLITS]
    frame = pd.concat([part.frame for part in parts]).sort_index()
    return Table(TELCO, frame, parts[0].schema, parts[0].provenance)
