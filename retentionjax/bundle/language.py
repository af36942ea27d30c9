"""The part `language` of a bundle: the writer of messages, loaded when the first message is asked for."""

from collections.abc import Callable

from retentionjax.bundle.loading import Bundle
from retentionjax.errors import BundleError, ModelError
from retentionjax.shield import Brief

WIDTH = 96
"""Tokens. A message's prompt has some 30 to 80, and each width would compile for as long as it writes dozens."""


def writer(bundle: Bundle) -> Callable[[Brief, int], str]:
    """(masked brief, seed) → text with stand-ins for the names (`Brief.fill`), by the bundle's language model.

    Fetches the base model if it is not at hand.

    Raises BundleError when the bundle has none, or its adapter does not fit the base model.
    """
    if not bundle.writes:
        raise BundleError(f"{bundle.folder}: has no part 'language', so it can write by the template only")
    from retentionjax.language import writer as writers  # transformers takes seconds to import

    try:
        write = writers.load(bundle.folder / "language", width=WIDTH)
    except ModelError as error:
        raise BundleError(str(error)) from None
    return lambda brief, seed: write([brief.prompt()], [seed])[0]
