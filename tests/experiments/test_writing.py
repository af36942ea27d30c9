"""Facts of messages: a bundle says of a customer what the language model was trained to say."""

import itertools

import pytest

from experiments import companies, writing
from retentionjax.data.messages import customers
from retentionjax.data.telco import SCHEMA
from retentionjax.shield import OfferTerms

COMBINATIONS = list(
    itertools.product(
        *(SCHEMA.categorical[name] for name in ("InternetService", "StreamingTV", "Contract")), (0, 1, 30)
    )
)


@pytest.mark.parametrize(("internet", "television", "contract", "tenure"), COMBINATIONS)
def test_a_brief_says_what_the_training_messages_say(internet, television, contract, tenure):
    facts = {"InternetService": internet, "StreamingTV": television, "Contract": contract, "tenure": float(tenure)}
    settings = writing.settings(companies.load("demo"))
    assert settings is not None
    brief = settings.brief(facts, None, OfferTerms(0.1))
    assert brief.facts["plan"] == customers._plan(internet, television, contract)
    assert brief.facts.get("tenure") == customers.tenure(tenure)
