"""Whatever the console shows by name has words."""

from retentionjax.shield.brief import CHANNEL_WORDS, CHANNELS
from serving.console import overview
from serving.console.frame import words
from serving.domain.bundles import SHOWN


def test_every_figure_of_a_bundle_and_every_channel_has_words() -> None:
    assert set(overview.FIGURES) == {f"{stage}.{name}" for stage, names in SHOWN.items() for name in names}
    assert set(CHANNEL_WORDS) == set(CHANNELS)
    assert [words(name) for name in ("sms", "email", "account_cap")] == ["SMS", "e-mail", "account cap"]
