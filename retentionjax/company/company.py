"""What a company has, may offer and must respect: all of company.yaml as one record."""

import datetime as dt
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from etils import epath

from retentionjax import storage
from retentionjax.checked import Checked, CompanyError, KeyFault, Within, did_you_mean, field_types
from retentionjax.company import offers as offer_names
from retentionjax.company import prior
from retentionjax.company.contacts import Contacts, Departures
from retentionjax.company.customers import CustomersFile
from retentionjax.company.messages import Messages
from retentionjax.company.offers import Offer
from retentionjax.company.prior import Effect
from retentionjax.company.reading import SOURCE
from retentionjax.company.structure import read_yaml, structure, unstructure
from retentionjax.errors import DataError

FORMAT = 1
"""Format of `to_dict`; raised when a reader of the old one would misunderstand the new."""
_DELAYS = (0, 1, 3)
_MOST_DELAYS = 16


@dataclass(frozen=True)
class Fatigue(Checked):
    """The fatigue cap: at most `contacts` contacts in any `days` days."""

    contacts: Annotated[int, Within(1, 32)] = 3
    days: Annotated[int, Within(1, 32, "the history of contacts is a 32-bit set of days")] = 30


@dataclass(frozen=True)
class Limits(Checked):
    """Limits in the company's currency; `inf` switches a limit on money or contacts off.

    The defaults suit charges of some 65 a month; a company with other charges should set its own.
    """

    budget: Annotated[float, Within(0, above=True, infinite=True)] = 2.50
    """Money that a customer may cost per campaign, on average: contacts, discounts, credits and costs."""
    account_cap: Annotated[float, Within(0, infinite=True)] = 30.0
    """Money any one customer may cost in a campaign, an accepted offer counted in full."""
    contact_cost: Annotated[float, Within(0, offer_names.MOST_MONEY)] = 0.50
    """Money a contact costs, accepted or not."""
    contacts: Annotated[float, Within(0, infinite=True)] = math.inf
    """Most contacts per customer and campaign, on average."""
    cooldown_days: Annotated[int, Within(1, 365)] = 7
    """Days from one contact to the first day on which the next is allowed."""
    fatigue: Fatigue = field(default_factory=Fatigue)


@dataclass(frozen=True, init=False)
class Company:
    """A company: its customers, what it may offer them, what it must respect and what it believes.

    Read one from a file with `Company.load("company.yaml")`, or make one in Python. Every key of company.yaml is an
    argument, and so are the keys of its `customers`. If no features are named, they are the table's other columns:
    numbers are numeric, texts categorical.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"fee": [20.0, 35.0], "churned": [0, 1], "plan": ["basic", "plus"]})
    >>> acme = Company(table, charge="fee", left="churned", window_days=30, offers={"ten": {"discount": 0.1}})
    >>> acme.offers["ten"].words()
    '10 % off for 30 days'
    """

    name: str
    """Letters, digits, - and _."""
    currency: str
    """ISO 4217 code; every amount of money is in it."""
    customers: CustomersFile
    contacts: Contacts | None
    departures: Departures | None
    offers: Mapping[str, Offer]
    """1 to 64, by name, in the order of the file."""
    delays: tuple[Annotated[int, Within(0, 30, "days")], ...]
    """Days from decision to contact that may be chosen, rising."""
    limits: Limits
    horizon_days: Annotated[int, Within(1, 730)]
    """Length of a campaign."""
    effects: Mapping[str, Effect] = field(default_factory=dict)
    """Beliefs that differ from the prior's, by name (see `prior`)."""
    messages: Messages = field(default_factory=Messages)

    def __init__(
        self,
        customers: Any,
        *,
        name: str = "company",
        currency: str = "USD",
        contacts: Any = None,
        departures: Any = None,
        offers: Any = None,
        delays: Sequence[int] = _DELAYS,
        limits: Any = None,
        horizon_days: int = 90,
        effects: Any = None,
        messages: Any = None,
        **columns: Any,
    ) -> None:
        """Takes records, mappings as in company.yaml, or, as `customers`, a DataFrame or path with `columns`.

        Raises CompanyError with every fault: the key, its value and what is allowed.
        """
        if columns or not isinstance(customers, CustomersFile | Mapping):
            customers = {"file": customers, **columns}
        given = {
            "name": name,
            "currency": currency,
            "customers": customers,
            "contacts": contacts,
            "departures": departures,
            "offers": {} if offers is None else offers,
            "delays": delays,
            "limits": {} if limits is None else limits,
            "horizon_days": horizon_days,
            "effects": {} if effects is None else effects,
            "messages": {} if messages is None else messages,
        }
        faults: list[KeyFault] = []
        for each, kind in field_types(Company).items():
            try:
                object.__setattr__(self, each, structure(given[each], kind, each))
            except CompanyError as error:
                faults += [_misplaced(fault) for fault in error.faults]
        whole = {each for each in given if hasattr(self, each)}
        faults += [KeyFault(key, what) for key, what in self._wrong_among(whole)]
        if faults:
            raise CompanyError(faults)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Company":
        """Reads the company that the YAML file at `path` describes; relative paths in it are relative to that file.

        Raises CompanyError with every fault: file, key, value and what is allowed.
        """
        plain = {"name": storage.as_path(path).stem, **read_yaml(path)}
        return replace_files(_made(plain, str(path)), storage.as_path(path).parent)

    def believed(self, median_charge: float) -> dict[str, Effect]:
        """Every effect by its name, the company's own before the prior's (see `prior.resolve`)."""
        return prior.resolve(self.offers, self.effects, median_charge)

    def to_dict(self) -> dict[str, Any]:
        """The company as plain values that JSON can hold, without the paths of its files; `from_dict` reads it."""
        plain = unstructure(replace_files(self, None))
        return {"format": FORMAT, **plain}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], *, where: str = "company") -> "Company":
        """The company that `to_dict` wrote.

        Raises DataError for another format and CompanyError for values that do not fit.
        """
        if plain.get("format") != FORMAT:
            found = plain.get("format")
            raise DataError(f"{where}: company format {found!r} is unknown; this program reads format {FORMAT}")
        return _made({key: value for key, value in plain.items() if key != "format"}, where)

    def _wrong_among(self, whole: set[str]) -> list[tuple[str, str]]:
        """What is wrong with the fields of `whole`, each by itself or with another; the rest could not be read."""
        checks: dict[tuple[str, ...], Callable[[], list[tuple[str, str]]]] = {
            ("name", "currency", "delays"): self._wrong_names,
            ("offers",): lambda: _under("offers", offer_names.wrong_names(self.offers)),
            ("offers", "effects"): lambda: _under("effects", prior.wrong_effects(self.effects, self.offers)),
            ("customers", "contacts", "departures"): self._wrong_joining,
            ("offers", "contacts"): lambda: _under(
                "contacts", [] if self.contacts is None else self.contacts.wrong_arms(self.offers)
            ),
        }
        return [found for needed, check in checks.items() if whole.issuperset(needed) for found in check()]

    def _wrong_names(self) -> list[tuple[str, str]]:
        found = []
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name):
            found.append(("name", f"{self.name!r} names a folder; allowed: letters, digits, - and _"))
        if not re.fullmatch(r"[A-Z]{3}", self.currency):
            found.append(("currency", f"is {self.currency!r}; allowed: a code of ISO 4217, such as USD or EUR"))
        if not self.delays or list(self.delays) != sorted(set(self.delays)):
            found.append(("delays", f"is {list(self.delays)}; allowed: days, rising, such as [0, 1, 3]"))
        if len(self.delays) > _MOST_DELAYS:
            found.append(("delays", f"are {len(self.delays)} days; allowed: 1 to {_MOST_DELAYS} of them"))
        return found

    def _wrong_joining(self) -> list[tuple[str, str]]:
        found = []
        customers, contacts, departures = self.customers, self.contacts, self.departures
        joined = contacts is not None and contacts.other_people is None
        if joined and customers.id is None:
            found.append(("contacts", "need an id that the customers have too; or other_people, if they are others"))
        if departures is not None and customers.id is None:
            found.append(("departures", "need an id that the customers have too"))
        if departures is not None and customers.left is not None:
            serves = "; a column of dates under customers.left serves as departures too"
            found.append(("departures", f"are given beside customers.left; allowed: one of the two{serves}"))
        if departures is not None and customers.snapshot is None:
            found.append(("customers.snapshot", "is missing; who left is counted from it"))
        snapshot, until = customers.snapshot, None if departures is None else departures.observed_until
        if isinstance(snapshot, dt.date) and isinstance(until, dt.date) and until < snapshot:
            found.append(("departures.observed_until", f"{until} is before the snapshot, {snapshot}"))
        return found


def _misplaced(fault: KeyFault) -> KeyFault:
    """The fault of an unknown key, told as one in the wrong place if it is a key of company.yaml itself."""
    key = re.match(r"unknown key '(\w+)'", fault.wrong)
    if key is None or key[1] not in field_types(Company):
        return fault
    return KeyFault(fault.path, f"{key[1]!r} is no key of this section; it is a section at the top level")


def _made(plain: dict[str, Any], where: str) -> Company:
    known = list(field_types(Company))
    unknown = [
        KeyFault("", f"unknown key {key!r}{did_you_mean(key, known)}; allowed: {', '.join(known)}")
        for key in plain
        if key not in known
    ]
    missing = [KeyFault(key, "is missing") for key in ("customers", "offers") if plain.get(key) is None]
    faults = [*unknown, *missing]
    try:
        company = Company(**{"customers": None, **{key: value for key, value in plain.items() if key in known}})
    except CompanyError as error:
        given = {fault.path for fault in missing}
        faults += [fault for fault in error.faults if fault.path.partition(".")[0] not in given]
    if faults:
        raise CompanyError(faults, where)
    return company


def replace_files(company: Company, folder: epath.Path | None) -> Company:
    """`company` with its relative paths taken from `folder`; None takes every file out."""

    def placed(part: Any) -> Any:
        if part is None:
            return None
        file = part.file
        if folder is None:
            file = None
        elif isinstance(file, str) and not file.startswith((SOURCE, "/")) and "://" not in file:
            file = str(folder / file)
        return replace(part, file=file)

    return replace(
        company,
        customers=placed(company.customers),
        contacts=placed(company.contacts),
        departures=placed(company.departures),
    )


def _under(key: str, wrong: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{key}.{inner}" if inner else key, what) for inner, what in wrong]
