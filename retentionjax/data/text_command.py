"""What `retentionjax data {list,fetch,prepare}` does with text sets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retentionjax.data import sources, text_sources
from retentionjax.data.sources import PublicDataSet
from retentionjax.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Shown


def add_rows(shown: "Shown") -> None:
    """A row for each file of each text set: where it was found, its checksum, its licence."""
    for each in text_sources.TEXTS.values():
        for part, source in each.parts.items():
            found, checked = status(source)
            rows = f"{source.rows:,}" if source.rows else "?"
            shown.add_row(f"{each.name} {part}", rows, found, checked, each.licence.split(" (")[0])


def status(source: PublicDataSet) -> tuple[str, str]:
    """Where a file is, and whether its checksum is right, in words."""
    for place, origin in sources.places(sources.cache_folder()):
        if (path := sources.locate(source, place)) is not None:
            try:
                found = sources.read(source, path, origin)
            except DataError:
                return origin, "DIFFERS"
            return origin, f"{'ok' if source.tables else 'unknown'} ({found.sha256[:8]}…)"
    return ("not here; to fetch" if source.downloads else "not here; by hand from its homepage"), "-"


def fetch(name: str, console: "Console", *, force: bool) -> None:
    """Downloads what is not at hand of the text set `name`, or all of it; errors as `sources.take`."""
    for part, source in text_sources.text_set(name).parts.items():
        if force and source.downloads:
            path = sources.fetch(source, sources.cache_folder())
            found = sources.read(source, path, "download")
        else:
            found = sources.take(source)
        console.print(f"{name} {part}: {found.where} ({found.origin}), sha256 {found.sha256[:8]}… ok")


def prepare(names: Sequence[str], folder: str, console: "Console", *, seed: int, force: bool) -> None:
    """Prepares the text sets `names` and says what became of each; errors as `text_loading.load`."""
    from retentionjax.data import catalog, text_loading

    for name in names:
        table = text_loading.load(name, seed=seed)
        new = text_loading.prepare(table, folder, force=force)
        entry = catalog.entries(folder)[name]
        parts = ", ".join(f"{part} {each['rows']:,}" for part, each in entry["splits"].items())
        made = "prepared" if new else "up to date"
        kind = "SYNTHETIC " if table.provenance.kind == "synthetic" else ""
        console.print(f"{name}: {made}, {kind}{table.provenance.rows:,} rows: {parts}, in {folder}/{name}")
        if table.missing:
            console.print(f"{name}: WITHOUT {', '.join(table.missing)}, which could not be had")
