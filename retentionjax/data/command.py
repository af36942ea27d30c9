"""`retentionjax data {check,list,fetch,prepare}`.

Nothing here imports pandas until a sub-command needs it, so that `--help` is instant.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retentionjax.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from retentionjax.data.schema import Provenance
    from retentionjax.data.sources import PublicDataSet

DEFAULT_FOLDER = "runs/data"
_TEXTS = ("oasst1", "hh_rlhf", "shp2", "upworthy", "messages")
_NAMES_HELP = f"telco, bank, hillstrom (these if none is named), or a text set: {', '.join(_TEXTS)}"


def main(arguments: Sequence[str]) -> int:
    """Runs `retentionjax data …`; the exit status. Raises DataError for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="retentionjax data", description="Check a company's files; list, fetch and prepare public data sets."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="{check,list,fetch,prepare}", required=True)
    verbs.add_parser("list", help="the public data sets, where each was found, licence and checksum")

    fetch = verbs.add_parser("fetch", help="download missing data sets into the cache")
    fetch.add_argument("names", nargs="*", metavar="NAME", help=_NAMES_HELP)
    fetch.add_argument("--force", action="store_true", help="download even what is at hand")

    prepare = verbs.add_parser("prepare", help="check, split 80/10/10 and write Parquet or JSONL, and catalog.json")
    prepare.add_argument("names", nargs="*", metavar="NAME", help=_NAMES_HELP)
    prepare.add_argument("--out", default=DEFAULT_FOLDER, metavar="DIR", help=f"folder ({DEFAULT_FOLDER})")
    prepare.add_argument("--seed", type=int, default=42, help="seed of the splits (42)")
    prepare.add_argument("--force", action="store_true", help="remake even what is up to date")
    prepare.add_argument(
        "--data",
        choices=("auto", "real", "synthetic"),
        default="real",
        help="real (default): official files; synthetic: the generator; auto: real where it can be had",
    )

    check = verbs.add_parser(
        "check", help="read a company's files and print what was understood; exit status 1 on faults"
    )
    check.add_argument("company", metavar="company.yaml")
    check.add_argument("--rejects", metavar="FILE", help="write every row with a fault, and why, as CSV")

    parsed = parser.parse_args(list(arguments))
    if parsed.verb == "list":
        return _list()
    if parsed.verb == "fetch":
        return _fetch(parsed.names, force=parsed.force)
    if parsed.verb == "check":
        return _check(parsed.company, parsed.rejects)
    return _prepare(parsed)


def _list() -> int:
    from rich.table import Table as Shown

    from retentionjax.data import sources, text_sources

    shown = Shown("name", "rows", "found", "sha256", "licence", box=None, pad_edge=False)
    files = dict(sources.SOURCES)
    for each in text_sources.TEXTS.values():
        files |= {f"{each.name} {part}": source for part, source in each.parts.items()}
    for name, source in files.items():
        rows = f"{source.rows:,}" if source.rows else "?"
        shown.add_row(name, rows, *_status(source), source.licence.split(" (")[0])
    console = _console()
    console.print(shown)
    console.print()
    for source in sources.SOURCES.values():
        console.print(f"{source.name}: {source.title}, {source.homepage}")
    for each in text_sources.TEXTS.values():
        console.print(f"{each.name}: {each.title}, {each.homepage}; {each.use}")
    console.print(f"RETENTIONJAX_DATA: {sources.data_folder() or 'not set'}\ncache: {sources.cache_folder()}")
    return 0


def _status(source: "PublicDataSet") -> tuple[str, str]:
    """The place of a file, and whether its checksum is right, in words."""
    from retentionjax.data import sources
    from retentionjax.data.download import Download

    for place, origin in sources.places(sources.cache_folder()):
        if (path := sources.locate(source, place)) is not None:
            try:
                found = sources.read(source, path, origin)
            except DataError:
                return origin, "DIFFERS"
            return origin, f"{'ok' if source.tables else 'unknown'} ({found.sha256[:8]}…)"
    if not source.downloads:
        return "not here; by hand from its homepage", "-"
    sizes = [f"{each.size / 1e6:.1f} MB " for each in source.downloads if isinstance(each, Download)]
    return f"not here; {sizes[0] if sizes else ''}to fetch", "-"


def _fetch(names: Sequence[str], *, force: bool) -> int:
    from retentionjax.data import sources, text_sources

    files: dict[str, PublicDataSet] = {}
    for name in names or sources.SOURCES:
        if name in text_sources.TEXTS:
            files |= {f"{name} {part}": source for part, source in text_sources.TEXTS[name].parts.items()}
        else:
            files[name] = sources.source(name)
    for name, source in files.items():
        if force and source.downloads:
            path = sources.fetch(source, sources.cache_folder())
            found = sources.read(source, path, "download")
        else:
            found = sources.take(source)
        _console().print(f"{name}: {found.where} ({found.origin}), sha256 {found.sha256[:8]}… ok")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from retentionjax.data import catalog, sources, synthetic, text_loading

    folder, seed, force = arguments.out, arguments.seed, arguments.force
    for name in arguments.names or (synthetic.NAMES if arguments.data == "synthetic" else sources.SOURCES):
        if name in _TEXTS:
            texts = text_loading.load(name, seed=seed)
            _tell(name, texts.provenance, folder, new=text_loading.prepare(texts, folder, force=force))
            if texts.missing:
                _console().print(f"{name}: WITHOUT {', '.join(texts.missing)}, which could not be had")
        else:
            table = sources.load(name, mode=arguments.data)
            label = table.schema.label
            rate = f", {label} {table.frame[label].mean():.2%}" if label else ""
            _tell(name, table.provenance, folder, rate, new=catalog.prepare(table, folder, seed=seed, force=force))
    return 0


def _tell(name: str, provenance: "Provenance", folder: str, rate: str = "", *, new: bool) -> None:
    """Says what was made of a set."""
    from retentionjax.data import catalog

    splits = catalog.entries(folder)[name]["splits"]
    parts = ", ".join(f"{part} {each['rows']:,}" for part, each in splits.items())
    made = "prepared" if new else "up to date"
    kind = "SYNTHETIC " if provenance.kind == "synthetic" else ""
    _console().print(f"{name}: {made}, {kind}{provenance.rows:,} rows{rate}: {parts}, in {folder}/{name}")


def _check(path: str, rejected: str | None) -> int:
    """Says what was understood of a company; 1 where something cannot be used."""
    from retentionjax.company import Company, CompanyError
    from retentionjax.data import check, company_tables
    from retentionjax.data.faults import FilesError

    console = _console()
    try:
        company = Company.load(path)
        tables = company_tables.read(company, rejected=rejected)
    except (CompanyError, FilesError) as error:
        print(error, file=sys.stderr)
        if rejected is not None and isinstance(error, FilesError) and error.faults:
            print(f"rows with a fault: {rejected}", file=sys.stderr)
        return 1
    for line in check.understood(company, tables):
        console.print(line, markup=False)
    for line in check.warnings(company, tables):
        console.print(f"WARNING: {line}", markup=False)
    return 0


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)
