"""What the stages that train and use the language model share: the customers messages are about, and their offers."""

from collections.abc import Mapping

from etils import epath

from experiments import companies
from retentionjax.bundle.message import facts_of
from retentionjax.data import catalog
from retentionjax.data.messages import Audience
from retentionjax.data.splits import NAMES as SPLITS

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What a demo adapts: every projection of the upper layers."""


def customers(inputs: Mapping[str, epath.Path]) -> Audience:
    """The customers of the stage `data`, as the company's messages speak of them, and its offers."""
    company, prepared = companies.of(inputs), catalog.read(inputs["data"] / "artifacts", "customers")
    frames = {split: getattr(prepared, split).frame.astype(object) for split in SPLITS}
    known = {
        split: [facts_of(company.messages, row) for row in frame.where(frame.notna(), None).to_dict("records")]
        for split, frame in frames.items()
    }
    return Audience(known, [each.terms(company.currency) for each in company.offers.values()])
