"""`retentionjax models {list,fetch}`.

Nothing here imports JAX or transformers until a model is fetched, so that `--help` is instant.
"""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Runs `retentionjax models …`; the exit status. Raises ModelError for what the user can mend."""
    parser = argparse.ArgumentParser(prog="retentionjax models", description="List and fetch base language models.")
    verbs = parser.add_subparsers(dest="verb", metavar="{list,fetch}", required=True)
    verbs.add_parser("list", help="the base models, their licences, and which of them are at hand")
    fetch = verbs.add_parser("fetch", help="download a model into the cache, as a Hugging Face folder")
    fetch.add_argument("name", metavar="NAME", help="a name from `models list`")
    fetch.add_argument("--out", metavar="DIR", help="a folder of your own instead of the cache; the model is DIR/NAME")
    fetch.add_argument("--force", action="store_true", help="download anew even what is at hand")
    parsed = parser.parse_args(list(arguments))
    return _list() if parsed.verb == "list" else _fetch(parsed.name, parsed.out, force=parsed.force)


def _list() -> int:
    from rich.console import Console
    from rich.table import Table

    from retentionjax.language.hub_fetch import BASES, cache_folder

    shown = Table("name", "parameters", "found", "licence", "hub", box=None, pad_edge=False)
    for each in BASES.values():
        found = "cache" if (cache_folder() / each.name / "source.json").exists() else "not yet"
        shown.add_row(each.name, f"{each.parameters:,}", found, each.licence, each.repository)
    console = Console(width=140, highlight=False)
    console.print(shown)
    console.print(f"\ncache: {cache_folder()}", soft_wrap=True)
    return 0


def _fetch(name: str, folder: str | None, *, force: bool) -> int:
    from retentionjax.language.hub_fetch import fetch

    print(fetch(name, folder, force=force))
    return 0
