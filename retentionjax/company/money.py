"""Money in words: `$15`, `€4.50`, `¥1,200`, `12 CHF`; the currency is a company's own, never a constant."""

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
"""Currencies with a sign of their own in English text; the others are written with their ISO 4217 code."""
_SIGNS = """
USD $ US$; EUR €; GBP £; JPY ¥ 円; CNY ¥ 元; INR ₹ Rs Rs.; BRL R$; PLN zł; CZK Kč; HUF Ft; SEK kr kr.; NOK kr kr.;
DKK kr kr.; CHF Fr. SFr.; TRY ₺ TL; RON lei; BGN лв лв.; UAH ₴; ILS ₪; KRW ₩ 원; VND ₫ đ; THB ฿; PHP ₱; IDR Rp Rp.;
NGN ₦; CAD $ CA$ C$; AUD $ A$; NZD $ NZ$; MXN $ MX$; SGD $ S$; ARS $; CLP $; COP $; ZAR R; RUB ₽ руб."""
SIGNS = {code: tuple(signs) for code, *signs in (each.split() for each in _SIGNS.split(";"))}
"""How files write a currency beside a number, its code aside."""
_WHOLE = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())  # noqa: SIM905
"""Currencies without a minor unit, by ISO 4217; the others are written with two places at most."""


def money(amount: float, currency: str, *, cents: bool = False) -> str:
    """The amount with its currency, in whole units where it is whole, otherwise to two places; `cents`: always to two.

    >>> money(1079, "USD"), money(4.5, "EUR"), money(12, "CHF"), money(-2, "EUR", cents=True), money(99.7, "JPY")
    ('$1,079', '€4.50', '12 CHF', '−€2.00', '¥100')
    """
    number = f"{abs(amount):,.{0 if currency in _WHOLE else 2}f}"
    number = number if cents else number.removesuffix(".00")
    sign = "−" if amount < 0 and number.strip("0.") else ""
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{number}" if symbol else f"{sign}{number} {currency}"


def symbol(currency: str) -> str:
    """What names the currency beside figures: its sign, or its code."""
    return SYMBOLS.get(currency, currency)


def symbols(currency: str) -> tuple[str, ...]:
    """How a cell of a file may write the currency beside a number: its code and, where it has any, its signs."""
    return (currency, *SIGNS.get(currency, ()))
