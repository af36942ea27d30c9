"""Money in words: `$15`, `€4.50`, `12 CHF`; the currency is a company's own, never a constant."""

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
"""Currencies with a sign of their own in English text; the others are written with their ISO 4217 code."""


def money(amount: float, currency: str = "USD") -> str:
    """The amount with its currency, in whole units where it is whole, otherwise to two places.

    >>> money(1079, "USD"), money(4.5, "EUR"), money(12, "CHF")
    ('$1,079', '€4.50', '12 CHF')
    """
    number = f"{abs(amount):,.2f}".removesuffix(".00")
    sign = "−" if amount < 0 and number != "0" else ""
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{number}" if symbol else f"{sign}{number} {currency}"


def symbol(currency: str) -> str:
    """What stands before an amount: the currency's sign, or its code and a space."""
    return SYMBOLS.get(currency, f"{currency} ")


def symbols(currency: str) -> tuple[str, ...]:
    """How a cell of a file may write the currency beside a number: its code and, where it has one, its sign."""
    symbol = SYMBOLS.get(currency)
    return (currency, symbol) if symbol else (currency,)
