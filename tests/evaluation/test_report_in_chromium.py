"""The page as a person meets it: in a real browser, on a desk, on a phone, in the dark, on paper."""

import itertools
import re
import shutil
from pathlib import Path

import pytest
import run_folders

from retentionjax.evaluation.report import page, playing, run_folder

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium browser (apt-get install chromium)")
_PATIENCE = 180_000  # ms: machines are shared

# Contrast of every piece of text against what lies behind it, by WCAG 2.2: 4.5, or 3 for large text. SVG is filled.
CONTRAST = """
() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length === 3 ? [...n, 1] : n; };
  const channel = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim()) continue;
    const style = getComputedStyle(element);
    const colour = parse(element.closest('svg') ? style.fill : style.color);
    const [a, b] = [luminance(colour), luminance(behind(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    found.push({text: node.data.trim().slice(0, 40), ratio: (a + 0.05) / (b + 0.05), least: large ? 3 : 4.5});
  }
  return found;
}
"""
# Text of a drawing that leaves the drawing, and elements that leave the page.
CLIPPED = """
() => {
  const out = [];
  for (const text of document.querySelectorAll('svg text')) {
    const t = text.getBoundingClientRect(), s = text.closest('svg').getBoundingClientRect();
    if (t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1)
      out.push(text.textContent);
  }
  for (const table of document.querySelectorAll('table')) {
    const around = table.parentElement, padding = parseFloat(getComputedStyle(around).paddingRight);
    if (table.getBoundingClientRect().right > around.getBoundingClientRect().right - padding + 1)
      out.push('table ' + table.caption.textContent);
  }
  const width = document.documentElement.clientWidth;
  for (const each of document.querySelectorAll('body *')) {
    const r = each.getBoundingClientRect(), style = getComputedStyle(each);
    if (each.closest('.skip, thead') || r.width === 0) continue;
    if (r.right > width + 1 || r.left < -1) out.push(each.tagName + ' ' + each.textContent.slice(0, 40));
  }
  return out;
}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """The report of a synthetic run, so that every colour of it is on the page."""
    folder = run_folders.make(tmp_path_factory.mktemp("runs") / "small", source="synthetic")
    run_folders.add_optional(folder, "synthetic")
    run = run_folder.read(folder)
    out = folder / "report.html"
    page.write(page.compose(run, playing.played(run)), out)
    return out


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def opened(browser, file, request):
    """The page at a width and in a colour scheme, with all it asked for and complained of."""
    width, scheme = getattr(request, "param", (1280, "light"))
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.set_default_timeout(_PATIENCE)
    tab.asked, tab.complaints = [], []
    tab.on("request", lambda each: tab.asked.append(each.url))
    tab.on("console", lambda each: tab.complaints.append(each.text))
    tab.on("pageerror", lambda each: tab.complaints.append(str(each)))
    tab.goto(file.as_uri())
    yield tab
    tab.close()


def test_nothing_is_asked_for_but_the_file(opened, file):
    assert opened.asked == [file.as_uri()]
    assert opened.complaints == []


def test_every_drawing_is_there_and_says_what_it_shows(opened):
    drawings = opened.locator("[role=img]")
    assert drawings.count() == 13
    for each in drawings.all():
        box = each.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 80
        assert len(each.get_attribute("aria-label")) > 40
        assert each.locator("svg text").count() > 4  # text stays text


@pytest.mark.parametrize("opened", [(width, "light") for width in (320, 390, 768, 1280)], indirect=True)
def test_nothing_overflows_at_any_width(opened):
    inner, outer = opened.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert inner <= outer
    assert opened.evaluate(CLIPPED) == []


@pytest.mark.parametrize("opened", [(390, "light"), (1280, "dark")], indirect=True)
def test_contrast_is_aa_in_light_and_dark(opened):
    found = opened.evaluate(CONTRAST)
    assert len(found) > 300
    assert [each for each in found if each["ratio"] < each["least"]] == []


def test_paper_is_light_and_shows_everything(browser, file, tmp_path):
    tab = browser.new_page(viewport={"width": 680, "height": 960}, color_scheme="dark")
    tab.set_default_timeout(_PATIENCE)
    tab.goto(file.as_uri())
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [each for each in tab.evaluate(CONTRAST) if each["ratio"] < each["least"]] == []
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert tab.evaluate(CLIPPED) == []  # 680 px is an A4 page within its margins
    tab.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    tab.close()
    data = (tmp_path / "page.pdf").read_bytes()
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 14
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([^\]]+)\]", data)}
    assert all(abs(box[2] - 595) < 2 and abs(box[3] - 842) < 2 for box in boxes)


def test_headings_and_tables_have_names_for_screen_readers(opened):
    levels = opened.locator("h1, h2, h3").evaluate_all("all => all.map(e => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    tables = opened.locator("table").evaluate_all(
        "all => all.map(e => [e.caption?.innerText, e.querySelectorAll('thead th[scope=col]').length])"
    )
    assert tables
    assert all(caption and columns >= 2 for caption, columns in tables), tables
    assert opened.locator("section[aria-labelledby]").count() == opened.locator("section").count()
    assert opened.evaluate("document.documentElement.lang") == "en"
