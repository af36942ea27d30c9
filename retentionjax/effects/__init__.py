"""What contacts and offers do: from a prior, through a company's own log, to a posterior (see README.md)."""

from retentionjax.effects.log import Log, from_frames
from retentionjax.effects.posterior import Estimate, Posterior, draws_to_params, estimate
from retentionjax.effects.refusals import Refusal

__all__ = ["Estimate", "Log", "Posterior", "Refusal", "draws_to_params", "estimate", "from_frames"]
