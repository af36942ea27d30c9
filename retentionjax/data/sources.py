"""Origins of the public data sets, and the checksums by which their content is known.

A table is taken from the first of: the folder RETENTIONJAX_DATA names, laid out as `<set>/<official file>`; the
cache; the official address. A SHA-256 decides whether it is the official one, wherever it was found.
"""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from etils import epath

from retentionjax import storage
from retentionjax.data import public_sets, synthetic
from retentionjax.data.download import PAUSES, Download, DownloadError, HubFile, download, resolve
from retentionjax.data.reading import unpack
from retentionjax.data.schema import Provenance, Table
from retentionjax.errors import DataError

Origin = Literal["RETENTIONJAX_DATA", "cache", "download"]


@dataclass(frozen=True)
class PublicDataSet:
    """A public data set."""

    name: str
    title: str
    licence: str
    homepage: str
    rows: int
    files: tuple[str, ...]
    """Names under which `<set>/` may hold it, the official one first; each may be gzipped, as `<file>.gz`."""
    member: str | None
    """The table inside the file, where that is a zip."""
    tables: Mapping[str, str]
    """SHA-256, of the table unpacked or of the file as it is served, to what it is: the official bytes, or the same
    values written another way. None at all: whatever the official address serves with a checksum is taken."""
    downloads: tuple[Download | HubFile, ...]
    """Addresses in the order they are tried; none where the set has to be fetched by hand from its homepage."""


@dataclass(frozen=True)
class FoundFile:
    """A public table as it was found."""

    data: bytes
    """Unpacked."""
    where: str
    """File (and member) for messages."""
    origin: Origin
    sha256: str
    """SHA-256 of `data`."""


class UnavailableError(DataError):
    """A data set that is in no folder at hand and could not be downloaded."""


TELCO = PublicDataSet(
    name="telco",
    title="IBM Telco Customer Churn",
    licence="Apache-2.0 (IBM sample data)",
    homepage="https://github.com/IBM/telco-customer-churn-on-icp4d",
    rows=7_043,
    files=("Telco-Customer-Churn.csv",),
    member=None,
    tables={"16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91": "official"},
    downloads=(
        Download(
            url="https://raw.githubusercontent.com/IBM/telco-customer-churn-on-icp4d/master/data/Telco-Customer-Churn.csv",
            file="Telco-Customer-Churn.csv",
            sha256="16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91",
            size=970_457,
        ),
    ),
)

BANK = PublicDataSet(
    name="bank",
    title="UCI Bank Marketing (bank-additional-full)",
    licence="CC BY 4.0 (Moro, Cortez, Rita 2014; doi:10.24432/C5K306)",
    homepage="https://archive.ics.uci.edu/dataset/222/bank+marketing",
    rows=41_188,
    # UCI serves bank+marketing.zip, which holds bank-additional.zip, which holds the table. The inner zip was packed
    # more than once over the years; the table in it is the same.
    files=("bank+marketing.zip", "bank-additional.zip", "bank-additional-full.csv"),
    member="bank-additional-full.csv",
    tables={"74adfc578bf77a7ff4bb1ba4a9f8709d9e3c6907342959c2c8416847e0afb4d8": "official"},
    downloads=(
        Download(
            url="https://archive.ics.uci.edu/static/public/222/bank+marketing.zip",
            file="bank+marketing.zip",
            sha256="e0bf5f5de5b846e2f18e9d90606637267d46dfa260e0f17bb12e605db5efbeb4",
            size=1_023_843,
        ),
    ),
)

_HILLSTROM_FILE = "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"

HILLSTROM = PublicDataSet(
    name="hillstrom",
    title="Hillstrom MineThatData e-mail experiment",
    licence="public challenge (no licence text)",
    homepage="https://blog.minethatdata.com/2008/03/minethatdata-e-mail-analytics-and-data.html",
    rows=64_000,
    files=("hillstrom.csv", _HILLSTROM_FILE, "hillstorm_no_indices.csv"),
    member=None,
    tables={
        "0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece": "official",
        "27bab8c5d3669f26ec08ebb50a0a78317542f29501156f2e2af6781fab4cd7e2": "official, lines ended by LF",
        "00a6a868e05a9ffe7382da51629f6d6dce88c5acfc945e79d314ebc78fd3a2c0": "same values, spend written as 0.0",
    },
    downloads=(
        # The author's site has had no certificate that verifies; then the copy that scikit-uplift reads is taken.
        Download(
            url=f"https://www.minethatdata.com/{_HILLSTROM_FILE}",
            file=_HILLSTROM_FILE,
            sha256="0e5893329d8b93cefecc571777672028290ab69865718020c78c7284f291aece",
            size=3_964_977,
        ),
        Download(
            url="https://hillstorm1.s3.us-east-2.amazonaws.com/hillstorm_no_indices.csv.gz",
            file="hillstorm_no_indices.csv.gz",
            sha256="bab6578f60db5d792f1c2372c502f029152a5249cf5ea84390f3b7f885d7234f",
            size=443_070,
        ),
    ),
)

SOURCES: Mapping[str, PublicDataSet] = {each.name: each for each in (TELCO, BANK, HILLSTROM)}


def source(name: str) -> PublicDataSet:
    """The registered set called `name`. Raises DataError naming those there are."""
    if name not in SOURCES:
        raise DataError(f"no data set is called {name!r}; allowed: {', '.join(SOURCES)}")
    return SOURCES[name]


def data_folder() -> epath.Path | None:
    """The folder of official files that RETENTIONJAX_DATA names, if it names one."""
    named = os.environ.get("RETENTIONJAX_DATA")
    return storage.as_path(named) if named else None


def cache_folder() -> Path:
    """The folder where downloads are kept."""
    return Path(storage.cache_folder("data"))


def places(cache: Path) -> list[tuple[epath.Path, Origin]]:
    """The folders that may hold official files, in the order they are looked into."""
    named = data_folder()
    given: list[tuple[epath.Path, Origin]] = [] if named is None else [(named, "RETENTIONJAX_DATA")]
    return [*given, (storage.as_path(cache), "cache")]


def locate(wanted: PublicDataSet, folder: epath.Path) -> epath.Path | None:
    """The file in `folder` that should hold `wanted`, if there is one."""
    base = folder / wanted.name
    names = [name + suffix for name in wanted.files for suffix in ("", ".gz")]
    return next((base / name for name in names if (base / name).is_file()), None)


def read(wanted: PublicDataSet, path: epath.Path, origin: Origin) -> FoundFile:
    """The table in the file at `path`. Raises DataError unless it is, by SHA-256, the official one."""
    packed = path.read_bytes()
    data = unpack(packed, str(path), wanted.member)
    digest = hashlib.sha256(data).hexdigest()
    if wanted.tables and wanted.tables.keys().isdisjoint({digest, hashlib.sha256(packed).hexdigest()}):
        expected = " or ".join(wanted.tables)
        mend = (
            f"`retentionjax data fetch {wanted.name} --force` downloads it anew"
            if origin != "RETENTIONJAX_DATA"
            else "a version of your own is a company's file like any other (company.yaml)"
        )
        differs = f"the checksum differs from the official {wanted.title}: sha256 {digest}, expected {expected}"
        raise DataError(f"{path}: {differs}; {mend}")
    return FoundFile(data, f"{path}/{wanted.member}" if path.suffix == ".zip" else str(path), origin, digest)


def obtain(name: str, *, pauses: Sequence[float] = PAUSES) -> FoundFile:
    """The official table `name` from the first place that has it, downloading it into the cache if need be.

    Raises UnavailableError telling how each of the three places failed, and DataError where a file is there but is not
    what it should be: a damaged file is never passed over for the next place.
    """
    return take(source(name), pauses=pauses)


def take(wanted: PublicDataSet, *, pauses: Sequence[float] = PAUSES) -> FoundFile:
    """`obtain` for a source that may be one file of many."""
    cache = cache_folder()
    for place, origin in places(cache):
        if (path := locate(wanted, place)) is not None:
            return read(wanted, path, origin)
    try:
        path = fetch(wanted, cache, pauses=pauses)
    except DownloadError as error:
        folder = data_folder()
        looked = f"{folder}/{wanted.name}/{wanted.files[0]} is not there" if folder else "is not set"
        kept = wanted.downloads[0].file if wanted.downloads else wanted.files[0]
        raise UnavailableError(
            f"the data set {wanted.name!r} is nowhere to be had\n"
            f"  1. the folder RETENTIONJAX_DATA: {looked}\n"
            f"  2. the cache: {cache}/{wanted.name}/{kept} is not there\n"
            f"  3. the official address: {error}"
        ) from None
    return read(wanted, path, "download")


def fetch(wanted: PublicDataSet, cache: Path, *, pauses: Sequence[float] = PAUSES) -> epath.Path:
    """Downloads `wanted` into the cache from the first of its addresses that delivers; the path of the file.

    Raises DownloadError telling how each address failed.
    """
    failures: list[str] = []
    if not wanted.downloads:
        failures.append(f"none that needs no hand; get {wanted.files[0]} from {wanted.homepage}")
    for address in wanted.downloads:
        try:
            exact = resolve(address) if isinstance(address, HubFile) else address
            return storage.as_path(download(exact, cache / wanted.name, pauses=pauses))
        except DownloadError as error:
            failures.append(str(error))
    raise DownloadError("\n     ".join(failures))


# --- a set by its name -----------------------------------------------------------------------------------------------


Mode = Literal["auto", "real", "synthetic"]


def load(name: str, *, mode: Mode = "auto") -> Table:
    """The data set `name` (telco, bank or hillstrom), validated.

    `real` takes it from RETENTIONJAX_DATA, the cache or the official address; `synthetic` generates it; `auto` is
    real, and synthetic with a warning on stderr when none of the three places has it. Raises DataError: no such set,
    unavailable (naming the three places), damaged, or no synthetic form.
    """
    own = source(name)
    if mode == "synthetic":
        return synthetic.generate(name)
    try:
        found = obtain(name)
    except UnavailableError as error:
        if mode == "real" or name not in synthetic.NAMES:
            raise
        print(f"WARNING: {error}\nWARNING: going on with SYNTHETIC {name} data", file=sys.stderr, flush=True)
        return synthetic.generate(name)
    frame = public_sets.read(name, found.data, found.where)
    provenance = Provenance("real", own.downloads[0].url, found.sha256, own.licence, len(frame))
    return Table(name, frame, public_sets.SCHEMAS[name], provenance)
