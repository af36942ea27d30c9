"""The public text sets: licence, homepage, and each official file of a set."""

from collections.abc import Mapping
from dataclasses import dataclass

from retentionjax.data import sources
from retentionjax.data.download import Download, HubFile
from retentionjax.data.sources import PublicDataSet
from retentionjax.errors import DataError


@dataclass(frozen=True)
class TextSet:
    """A public set of texts."""

    name: str
    title: str
    licence: str
    homepage: str
    parts: Mapping[str, PublicDataSet]
    """Its files by what they hold; a source's `rows` are 0 where nobody has counted them."""
    use: str
    """What it is for."""


def _part(name: str, title: str, licence: str, homepage: str, **fields: object) -> PublicDataSet:
    given: dict[str, object] = {"rows": 0, "member": None, "tables": {}, "downloads": ()}
    return PublicDataSet(name=name, title=title, licence=licence, homepage=homepage, **{**given, **fields})  # type: ignore[arg-type]


_OASST = ("oasst1", "OpenAssistant Conversations", "Apache-2.0", "https://huggingface.co/datasets/OpenAssistant/oasst1")
_OASST_FILE = "2023-04-12_oasst_ready.messages.jsonl.gz"
_OASST_REVISION = "5c38bf14fe3c7bb31bb8e13eb4f87b2c6fd78d93"
_OASST_SHA256 = "286a6e9a5a413b3272ae9c0b5a20d327983dea1c24342ae28cb244a6da65185c"

OASST1 = TextSet(
    *_OASST,
    parts={
        "messages": _part(
            *_OASST,
            files=("2023-04-12_oasst_ready.messages.jsonl", "en-validation.jsonl"),
            tables={
                _OASST_SHA256: "official, all languages",
                "ab43b0a4060c7070bbeaebb6eb13ca04e42fcaa14eb6394307c7336e8d38cbd5": "the English validation messages",
                "b92db3f1db324f5aa3c5d75ed65a451b54063de1de7370506233c9917043bd66": "the English validation messages",
            },
            downloads=(
                Download(
                    f"{_OASST[3]}/resolve/{_OASST_REVISION}/{_OASST_FILE}", _OASST_FILE, _OASST_SHA256, 34_196_309
                ),
            ),
        )
    },
    use="replies to imitate",
)

_HH = ("hh_rlhf", "Anthropic HH-RLHF", "MIT", "https://huggingface.co/datasets/Anthropic/hh-rlhf")
# Of the files as the hub serves them, gzipped.
_HH_SHA256 = {
    ("helpful-base", "train"): "518a5bf288456fc9f3b7c980c54116fba0c52f274d3f4d344675d83e4058f6f4",
    ("helpful-base", "test"): "8be3fc1a13b27901631696f2be6f184c799f1baeaf145f53ac5db24960adc37b",
    ("harmless-base", "train"): "bf3e1ecd3db61bf21d190f69351d26670c67aababa0fd282fa008c17a7202217",
    ("harmless-base", "test"): "ebfaaed21162a4de120ae85366075b34425e2a6303fac59b99555002f7016f03",
}


def _hh_part(subset: str, split: str) -> PublicDataSet:
    sha256 = _HH_SHA256[subset, split]
    file = HubFile("Anthropic/hh-rlhf", f"{subset}/{split}.jsonl.gz", f"{subset}.{split}.jsonl.gz", sha256=sha256)
    # A copy that was unpacked is known too.
    unpacked = {
        "helpful-base": "41c3a32fe45a7075f7e32b11bd29383f9fe650287354a95568f61295a8e694da",
        "harmless-base": "14d765196c9f18d84f9bb3a78bac608c8f2915110ebcbd74ec95db7b7198b008",
    }
    tables = {sha256: "official"} | ({unpacked[subset]: "official"} if split == "test" else {})
    rows = {"helpful-base": 2_354, "harmless-base": 2_312}[subset] if split == "test" else 0
    names = (f"{subset}.{split}.jsonl", f"{subset}/{split}.jsonl")
    return _part(*_HH, files=names, rows=rows, tables=tables, downloads=(file,))


HH_RLHF = TextSet(
    *_HH,
    parts={f"{subset}.{split}": _hh_part(subset, split) for subset, split in _HH_SHA256},
    use="preferences between two replies of an assistant",
)

_SHP = (
    "shp2",
    "Stanford Human Preferences 2",
    "see its card (Reddit and StackExchange posts)",
    "https://huggingface.co/datasets/stanfordnlp/SHP-2",
)
_SHP_REVISION = "97905d2ed3eb4ec7e368b8df17258487a60598bb"
SHP_DOMAINS = ("reddit/eatcheapandhealthy", "stackexchange/stack_cooking", "stackexchange/stack_softwarerecs")
"""Those of SHP-2's many domains that are taken, enough for 60,000 pairs without fetching its gigabytes."""


def _shp_part(domain: str, split: str) -> PublicDataSet:
    kept = f"{domain.replace('/', '.')}.{split}.json"
    file = HubFile("stanfordnlp/SHP-2", f"{domain}/{split}.json", kept, _SHP_REVISION)
    return _part(*_SHP, files=(kept, f"{domain}/{split}.json"), downloads=(file,))


SHP2 = TextSet(
    *_SHP,
    parts={
        f"{domain}.{split}": _shp_part(domain, split) for domain in SHP_DOMAINS for split in ("train", "validation")
    },
    use="preferences between two comments on a post",
)

_UPWORTHY = ("upworthy", "Upworthy Research Archive", "CC BY 4.0", "https://osf.io/jd64p/")
UPWORTHY = TextSet(
    *_UPWORTHY,
    parts={
        "packages": _part(
            *_UPWORTHY,
            files=("upworthy_clean.parquet",),
            rows=22_666,
            tables={"91d1d583e267dbd9b4bb3641eb764245e61013deea99a651bdd129376df24782": "official"},
        )
    },
    use="which of two headlines was clicked more",
)

TEXTS: Mapping[str, TextSet] = {each.name: each for each in (OASST1, HH_RLHF, SHP2, UPWORTHY)}


def text_set(name: str) -> TextSet:
    """The set called `name`. Raises DataError naming those there are."""
    if name not in TEXTS:
        raise DataError(f"no text set is called {name!r}; allowed: {', '.join(TEXTS)}")
    return TEXTS[name]


def obtain(name: str, part: str) -> sources.FoundFile:
    """One file of a set from the first place that has it. Errors as `sources.obtain`; DataError for no such part."""
    parts = text_set(name).parts
    if part not in parts:
        raise DataError(f"{name} has no part {part!r}; allowed: {', '.join(parts)}")
    return sources.take(parts[part])
