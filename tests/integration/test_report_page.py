"""Pages of reports in a real browser, at three sizes, light and dark: `make test-browser`."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: make test-browser")

from .browser import needs_chromium, screenshot
from .report_pages import PAGES

pytestmark = [pytest.mark.slow, needs_chromium]

SIZES = {"phone": (360, 740), "tablet": (820, 1180), "desktop": (1440, 900)}
#: The colours of a text and of what lies behind it, for all texts that are visible.
CONTRASTS = """() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number)
  const light = color => {
    const linear = c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4
    const [r, g, b] = channels(color).map(c => linear(c / 255))
    return .2126 * r + .7152 * g + .0722 * b
  }
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor
      if (!(channels(color)[3] === 0)) return color
    }
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement
    if (!text || !element.checkVisibility()) continue
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => x - y)
    found.push([text.slice(0, 40), (b + .05) / (a + .05)])
  }
  return found
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_bytes(make())
    return folder


@pytest.fixture
def opened(browser, files):
    """Open a page, and check at the end that it has loaded nothing and run nothing."""
    requests, dialogs, errors, pages = [], [], [], []

    def opened(name, size="desktop", scheme="light"):
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        pages.append(page)
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((files / f"{name}.html").as_uri(), wait_until="networkidle")
        return page

    yield opened
    for page in pages:
        assert page.title() != "owned"
        page.close()
    assert [url for url in requests if not url.startswith(("file://", "data:"))] == []
    assert len([url for url in requests if url.startswith("file://")]) == len(pages)
    assert (dialogs, errors) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_window_and_can_be_read(opened, name, size, scheme):
    page = opened(name, size, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.locator("script, img, iframe, object, embed").count() == 0
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 10
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(244, 245, 249)", "dark": "rgb(16, 19, 27)"}[scheme]


def test_texts_of_strangers_stay_in_their_cells(opened):
    page = opened("hostile", "phone")
    cells = page.locator("td, th, h1, h3")
    assert cells.evaluate_all("all => Math.max(...all.map(e => e.scrollWidth - e.clientWidth))") <= 1
    rows = page.locator("tbody tr")
    assert rows.evaluate_all("all => Math.max(...all.map(e => e.getBoundingClientRect().height))") < 740


def test_links_of_the_funnel_lead_to_the_answers(opened):
    page = opened("ordinary", "phone")
    page.get_by_role("link", name="Which city do you live in?").click()
    heading = page.get_by_role("heading", name="Which city do you live in?")
    assert heading.bounding_box()["y"] < SIZES["phone"][1]


def test_screen_readers_find_headings_tables_and_the_chart(opened):
    page = opened("ordinary")
    assert page.get_by_role("heading", level=1).all_inner_texts() == ["Product feedback"]
    for name in ("Over time", "Question by question"):
        assert page.get_by_role("region", name=name).count() == 1
    assert page.get_by_role("img", name="People who answered: ").count() == 1
    table = page.get_by_role("table", name="People who answered each question")
    assert table.get_by_role("rowheader").count() == 5
    assert table.get_by_role("columnheader").all_inner_texts() == ["Question", "People", "Share"]
    page.get_by_text("The same as a table").click()
    assert page.get_by_role("table", name="People by the time of the report").get_by_role("row").count() == 13


def test_print_is_light_and_fits_the_paper(opened):
    page = opened("ordinary", "desktop", "dark")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_screenshots_for_the_docs(opened):
    page = opened("ordinary", "desktop", "light")
    page.set_viewport_size({"width": 1100, "height": 1560})
    screenshot(page, "report")
    page = opened("ordinary", "phone", "dark")
    screenshot(page, "report-phone")
