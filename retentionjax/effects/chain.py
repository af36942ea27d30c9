"""Draws by Markov chains, for a posterior that importance weights cannot reach: NUTS (Hoffman, Gelman, arXiv
1111.4246), as numpyro has it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from retentionjax.tracking import progress

CHAINS = 4
CONVERGED = 1.05
"""Split R̂ up to which the chains are taken to have found the same distribution (Gelman, Rubin 1992; Vehtari et al.,
arXiv 1903.08008, who ask for 1.01 of chains many times as long)."""
_WARM_UP, _BLOCKS, _STEPS = 200, 8, 32


def sample(
    log_density: Callable[[Array, Any], Array],
    data: Any,
    centre: Float[np.ndarray, " L"],
    covariance: Float[np.ndarray, "L L"],
    *,
    draws: int,
    seed: int,
) -> tuple[Float[np.ndarray, "K L"], float]:
    """`draws` points, as evenly spaced along the chains as they divide, and the largest split R̂ of the coordinates.

    Args:
        log_density: of a point f32[L] and `data`, up to a constant.
        centre, covariance: of an approximation, by which the chains are started and their steps measured.
    """
    import numpyro
    from numpyro import distributions, infer
    from numpyro.diagnostics import split_gelman_rubin

    middle, root = jnp.asarray(centre, jnp.float32), jnp.asarray(np.linalg.cholesky(covariance), jnp.float32)

    def model(data: Any) -> None:
        away = numpyro.sample(
            "away", distributions.ImproperUniform(distributions.constraints.real_vector, (), middle.shape)
        )
        numpyro.factor("posterior", log_density(middle + root @ away, data))

    chains = infer.MCMC(
        infer.NUTS(model, dense_mass=True, target_accept_prob=0.9),
        num_warmup=_WARM_UP,
        num_samples=_STEPS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
        jit_model_args=True,
    )
    start, key = jax.random.split(jax.random.key(seed))
    blocks = []
    with progress("Markov chains", 1 + _BLOCKS, "blocks") as bar:
        chains.warmup(key, data, init_params={"away": jax.random.normal(start, (CHAINS, *middle.shape))})
        bar.advance()
        for _ in range(_BLOCKS):
            chains.run(chains.post_warmup_state.rng_key, data)
            blocks.append(np.asarray(chains.get_samples(group_by_chain=True)["away"]))
            chains.post_warmup_state = chains.last_state
            bar.advance()
    away = np.concatenate(blocks, axis=1).astype(np.float64)
    r_hat = float(np.max(split_gelman_rubin(away)))
    rows = away.reshape(-1, len(centre))
    kept = rows[np.linspace(0, len(rows) - 1, draws).round().astype(int)]
    return np.asarray(centre) + kept @ np.asarray(root, np.float64).T, r_hat
