"""How fast a campaign may spend: a share of contacts let through, from the money and the time that are left.

    θ = min(1, (left / budget) / (days left / horizon))

The chance of every contact is multiplied by θ and the rest goes to *wait*. While at least as large a share of the
budget is left as of the campaign's days, nothing is held back; once more is gone, contacts slow down in proportion,
so that the money lasts to the end: at a demand of r budgets a campaign, left' = −r·θ, it only ever nears 0 (θ with it)
and reaches it on the last day. The budget itself is a mask and holds whatever θ is. A reservation counts as spent.
"""

from serving.ledger.types import DAY, CampaignView


def throttle(campaign: CampaignView, now: float) -> float:
    """θ ∈ [0, 1] of a campaign at `now`; 1 before it starts, 0 after its end and without a budget."""
    left = campaign.left_micros / campaign.budget_micros if campaign.budget_micros else 0.0
    time_left = 1 - (now - campaign.starts_at) / (campaign.horizon_days * DAY)
    if time_left <= 0:
        return 0.0
    return min(1.0, max(0.0, left) / min(1.0, time_left))
