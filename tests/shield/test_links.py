"""Links in each form that a browser or a mail program follows: the sender's own pass, and no others do."""

from dataclasses import replace

import pytest
from shield_briefs import SENDER

from retentionjax.shield import Brief, OfferTerms, Violation, check

FORMS = {
    "https": "https://{}/a",
    "bare": "{}/a",
    "www": "www.{}/a",
    "port": "https://{}:443/a",
    "port of a bare host": "{}:443/a",
    "port alone": "https://{}:443",
    "trailing dot": "https://{}./a",
    "end of a sentence": "https://{}.",
    "upper case": "HTTPS://{0:}/a",
    "subdomain": "https://shop.{}/a",
    "subdomain's port": "shop.{}:443",
    "after a slash": "here/{}",
    "in brackets": "(https://{}/a)",
}
"""Forms of a link that is all right where the host is."""
NEVER = {
    "protocol-relative": "//{}/a",
    "protocol-relative with a port": "//{}:443",
    "one slash": "https:/{}/a",
    "no slash": "https:{}/a",
    "backslashes": "https:\\\\{}",
    "insecure": "http://{}/a",
    "insecure without slashes": "http:{}",
    "ftp": "ftp://{}/a",
    "another port": "https://{}:8443/a",
    "port of http": "https://{}:80",
    "another port of a bare host": "{}:8080/a",
    "no such port": "https://{}:99999/a",
    "user": "https://user@{}/a",
    "user and password": "https://user:443@{}/a",
    "backslash before an at": "https://{}\\@evil.test/a",
    "user as own host": "https://{}@evil.test/a",
    "user and port as own host": "https://{}:443@evil.test/",
    "onward": "https://{}/go?to=//evil.test",
    "left of another": "https://{}.evil.test/a",
    "coded": "https://{}%2eevil.test/a",
}
"""Forms that are refused whosever the host is."""
OTHERS = (
    *("evil.test", "EVIL.test", "notnorthwind.example", "evil-northwind.example", "bit.ly"),
    *("xn--nrthwind-9fb.example", "xn--80ak6aa92e.com", "nörthwind.example", "nоrthwind.example", "north‐wind.example"),
)
"""Hosts of others; the last three are written with an umlaut, a Cyrillic о and another hyphen."""


def refused(link: str) -> list[Violation]:
    """What the rules of links say of it within a message that breaks none otherwise."""
    text = f"Northwind: Hi Maria, 10% off for 30 days at {link} now. Reply YES to accept. Reply STOP to opt out."
    found = check(text, Brief("sms", OfferTerms(0.1), SENDER, "warm", "Maria")).violations
    return [each for each in found if each.rule.startswith("link.")]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_senders_own_link_passes_and_breaks_no_other_rule(form: str) -> None:
    text = f"Northwind: Hi Maria, 10% off for 30 days at {form.format('northwind.example')} now. Reply STOP to opt out."
    verdict = check(text, Brief("sms", OfferTerms(0.1), SENDER, "warm", "Maria"), by="person")
    assert verdict.blocking == ()
    assert refused(form.format("Northwind.Example")) == []


@pytest.mark.parametrize("host", OTHERS)
def test_a_link_of_another_is_refused_in_every_form(host: str) -> None:
    assert [form for form in (*FORMS.values(), *NEVER.values(), "...{}") if not refused(form.format(host))] == []


@pytest.mark.parametrize("form", NEVER.values(), ids=NEVER)
def test_a_link_whose_host_or_safety_nobody_can_tell_is_refused_of_the_sender_too(form: str) -> None:
    assert refused(form.format("northwind.example")) != []


@pytest.mark.parametrize(
    "link",
    [
        *("192.168.0.1", "192.168.0.1:8080/a", "http://192.168.0.1/a", "//192.168.0.1/a", "https://192.168.1/a"),
        *("https://3232235521/a", "//3232235521/", "https://0xC0A80001/a", "https://[::1]/a", "//[2001:db8::1]:443/a"),
        *("https://localhost/a", "//localhost/a", "https:///evil.test/a"),
    ],
)
def test_an_address_of_a_machine_is_refused(link: str) -> None:
    assert refused(link) != []


@pytest.mark.parametrize("words", ["either/or", "24/7", "https://northwind.example/café", "3:30 p.m.", "9/10"])
def test_a_slash_or_a_colon_alone_is_no_link(words: str) -> None:
    assert refused(words) == []


@pytest.mark.parametrize("domain", ["northwind.co.uk", "north-wind.example", "northwind.example"])
def test_an_address_of_the_sender_s_is_no_link_of_another(domain: str) -> None:
    sender = replace(SENDER, domains=(domain,), unsubscribe_url=f"https://{domain}/unsubscribe")
    text = f"Hi Maria,\n\nWe're here 24/7.Just write to help@{domain}.\n\nNorthwind\n\nUnsubscribe here."
    found = check(text, Brief("email", OfferTerms(), sender, "warm", "Maria")).violations
    assert not [each for each in found if each.rule.startswith("link.")]
