"""One look at a campaign: from the ledger to the whole answer."""

from collections.abc import Mapping

from retentionjax.env.types import EnvParams
from serving.ledger import Reader
from serving.ledger.types import CampaignView
from serving.lift import believing, measuring
from serving.lift.answer import LiftOut, answer


def look(
    reader: Reader,
    campaign: CampaignView,
    params: EnvParams | None = None,
    offers: Mapping[str, object] | None = None,
    currency: str = "USD",
) -> LiftOut:
    """The lift of `campaign`; with a bundle's constants and offers, what they promised beside it."""
    record = reader.campaign_record(campaign.campaign_id)
    found = measuring.find(measuring.against_holdout(campaign, record))
    pilot = {name: measuring.find(study) for name, study in measuring.of_pilot(campaign, record).items()}
    if params is None or offers is None:
        return answer(found, pilot, None, {}, currency)
    believed = believing.departures(found.study, params, offers)
    by_arm = {name: believing.departures(each.study, params, offers) for name, each in pilot.items()}
    return answer(found, pilot, believed, by_arm, currency)
