"""company.yaml: what a company has, may offer and must respect, and what it believes contacts and offers do.

`Company.load("company.yaml")`, or `Company(table, charge=…, left=…, …)` in Python. Reading the files that it names
is `retentionjax.data.company_tables`' business.
"""

from retentionjax.checked import CompanyError, KeyFault
from retentionjax.company.company import Company, Fatigue, Limits
from retentionjax.company.contacts import Accepted, Assigned, Contacts, Departures, OtherPeople
from retentionjax.company.customers import Charge, CustomersFile, Label
from retentionjax.company.messages import FactRule, Messages
from retentionjax.company.money import money
from retentionjax.company.offers import NONE, Offer
from retentionjax.company.prior import Effect
from retentionjax.company.reading import CellReading, Condition

__all__ = [
    "NONE",
    "Accepted",
    "Assigned",
    "CellReading",
    "Charge",
    "Company",
    "CompanyError",
    "Condition",
    "Contacts",
    "CustomersFile",
    "Departures",
    "Effect",
    "FactRule",
    "Fatigue",
    "KeyFault",
    "Label",
    "Limits",
    "Messages",
    "Offer",
    "OtherPeople",
    "money",
]
