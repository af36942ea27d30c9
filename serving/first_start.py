"""What a new ledger gets: the first admin key, shown once, and the campaign `default` if its size is given."""

from dataclasses import dataclass

from etils import epath

from retentionjax.bundle import manifest as manifests
from retentionjax.bundle import pointer
from retentionjax.bundle.manifest import Manifest
from retentionjax.errors import BundleError, ConfigError
from serving.ledger import Ledger
from serving.ledger.types import MICROS, BundleSlot, Campaign
from serving.settings import Settings

DEFAULT_CAMPAIGN = "default"


@dataclass(frozen=True)
class Made:
    """What was made just now."""

    admin_key: str | None
    """The token, which nobody can show again."""
    campaign: Campaign | None
    """The campaign `default`, if it was made."""
    has_campaign: bool
    """Whether there is a campaign `default`."""
    currency: str
    advice: str
    """Why the bundle contacts nobody, and what to do; empty where it may."""


def prepare(ledger: Ledger, settings: Settings) -> Made:
    """Makes what is missing. Raises BundleError for no bundle, ConfigError for a campaign that has no budget."""
    manifest = _whole(pointer.resolve(settings.bundle))
    if pointer.pointed_to(settings.bundle) is None:
        _refuse_lost(ledger.ask(lambda reader: reader.slots().active), settings)
    with ledger.transaction() as tx:
        token = None if tx.api_keys() else tx.create_key("first admin key", "admin")[1]
        existing = tx.campaign(DEFAULT_CAMPAIGN)
        campaign = None
        if existing is None and settings.campaign_customers is not None:
            campaign = _campaign(manifest, settings, tx.now)
            tx.put_campaign(campaign)
    has_campaign = existing is not None or campaign is not None
    return Made(token, campaign, has_campaign, str(manifest.company["currency"]), manifest.advice)


def _whole(folder: epath.Path) -> Manifest:
    """The manifest of a bundle; a damaged one is found here, where there is somebody to tell. Raises BundleError."""
    manifest = manifests.read(folder)
    manifests.verify_files(folder, manifest)
    return manifest


def _refuse_lost(active: BundleSlot | None, settings: Settings) -> None:
    """Raises BundleError where the bundle that was activated last is not there any more, or damaged: to start with
    another one is for a person to say."""
    if active is None or active.path == settings.bundle:
        return
    try:
        _whole(pointer.resolve(active.path))
    except BundleError as error:
        raise BundleError(
            f"{error}. This bundle was activated last, so it serves whatever --bundle says: bring it back, or run "
            "`retentionjax ledger forget-bundles` on this database to start with that of --bundle"
        ) from None


def _campaign(manifest: Manifest, settings: Settings, now: float) -> Campaign:
    customers = settings.campaign_customers or 0
    budget = settings.campaign_budget
    if budget is None:
        limit = manifest.limits.get("campaign_budget")
        if limit is None:
            raise ConfigError("campaign_budget is missing, and the bundle has no limit; allowed: 0 or more")
        budget = limit * customers
    return Campaign(
        campaign_id=DEFAULT_CAMPAIGN,
        budget_micros=round(budget * MICROS),
        starts_at=now,
        horizon_days=int(manifest.env["horizon_days"]),
        customers_expected=customers,
        holdout=settings.campaign_holdout,
    )
