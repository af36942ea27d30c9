"""`retentionjax models {list,fetch,export}`.

Nothing here imports JAX or transformers until a model is read, so that `--help` is instant.
"""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Runs `retentionjax models …`; the exit status. Raises ModelError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="retentionjax models", description="Base language models, and tuned ones as others read them."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="{list,fetch,export}", required=True)
    verbs.add_parser("list", help="the base models, their licences, and which of them are at hand")
    fetch = verbs.add_parser("fetch", help="download a model into the cache, as a Hugging Face folder")
    fetch.add_argument("name", metavar="NAME", help="a name from `models list`")
    fetch.add_argument("--out", metavar="DIR", help="a folder of your own instead of the cache; the model is DIR/NAME")
    fetch.add_argument("--force", action="store_true", help="download even what is at hand")
    export = verbs.add_parser("export", help="a tuned model as one Hugging Face folder, its adapter merged in")
    export.add_argument("writer", metavar="WRITER", help="a writer, such as runs/demo/ppo_text/artifacts/writer")
    export.add_argument("--out", metavar="DIR", required=True, help="folder to write; an existing one is replaced")
    parsed = parser.parse_args(list(arguments))
    if parsed.verb == "list":
        return _list()
    if parsed.verb == "export":
        return _export(parsed.writer, parsed.out)
    return _fetch(parsed.name, parsed.out, force=parsed.force)


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


def _export(folder: str, out: str) -> int:
    from retentionjax import storage
    from retentionjax.language import hub, lora, writer

    tuned, adapter, _ = writer.load_parts(storage.as_path(folder))
    base = hub.load(tuned.name)  # whatever precision the writer works in, what is exported is whole
    hub.save(out, lora.merge(base.decoder, adapter), base.tokenizer)
    print(f"{out}: {base.name} with its adapter merged in, as transformers and vLLM read it")
    return 0
