"""What the stages that train and use the language model share: the customers messages are about, and the sender."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from etils import epath

from retentionjax.bundle.message import MessageSettings
from retentionjax.company import Company
from retentionjax.data import Table, catalog
from retentionjax.data.splits import NAMES as SPLITS

CUSTOMERS = "customers"
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What a demo adapts: every projection of the upper layers."""


def settings(company: Company) -> MessageSettings | None:
    """How the company's messages are written; None where it names no sender."""
    said = company.messages
    if said.sender is None:
        return None
    channel: Any = said.channels[0]
    tone: Any = said.tone
    return MessageSettings(said.sender, channel, tone, said.facts)


def customers(inputs: Mapping[str, epath.Path]) -> Table:
    """All customers of the stage `data`, rows in their first order, so that their splits are the same again."""
    prepared = catalog.read(inputs["data"] / "artifacts", CUSTOMERS)
    parts = [getattr(prepared, split) for split in SPLITS]
    frame = pd.concat([part.frame for part in parts]).sort_index()
    return Table(CUSTOMERS, frame, parts[0].schema, parts[0].provenance)
