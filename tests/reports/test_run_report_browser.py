"""The page of a run in a real browser, opened from disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import ANSWER, claim, default_samples, default_scenes, reject, sample, two_claims, write_run
from scenes import scene

from kpray.reports.run_report import make_report

EVIL = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'
CARDS_ON_A_PAGE = 10


class Opened:
    """A page in the browser, with everything it complained about or asked for."""

    def __init__(self, browser: Any, path: str, **context: Any) -> None:
        self.page = browser.new_page(**context)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"file://{path}")
        self.page.wait_for_selector("body[data-ready]")

    def count(self) -> str:
        return str(self.page.inner_text("#count"))

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.querySelector('h3')?.textContent ?? ''"))


def report(folder: Path, limit: int = 1000) -> str:
    return make_report(str(folder), str(folder / "report.html"), images=None, limit=limit, seed=0).out


@pytest.fixture(scope="module")
def small(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    again = sample("7-conversation-9", ANSWER)
    folder = write_run(
        tmp_path_factory.mktemp("small") / "run",
        scenes=[*default_scenes(), scene("9")],
        samples=[*default_samples(), sample("9-conversation-0", f"He says {EVIL}", scene_id="9")],
        rejected=[reject(), reject(EVIL, scene_id="9", seen=EVIL)],
        duplicates=[(again, "7-conversation-0")],
        images=True,
    )
    (folder / "images" / "000000000008.jpg").unlink()
    return report(folder)


@pytest.fixture(scope="module")
def large(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    many = [sample(f"7-conversation-{i}", ANSWER, claims=two_claims()) for i in range(999)]
    return report(write_run(tmp_path_factory.mktemp("large") / "run", samples=[*many, *default_samples()[1:2]]))


@pytest.fixture
def opened(browser: Any, small: str) -> Iterator[Opened]:
    shown = Opened(browser, small)
    yield shown
    shown.page.close()


def test_it_opens_from_disk_without_a_complaint_and_without_asking_for_anything(opened: Opened, small: str) -> None:
    opened.page.keyboard.press("j")
    opened.page.hover(".card .claim")
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [f"file://{small}"]
    assert opened.page.inner_text("h1") == "tiny"
    assert "7" in opened.count()


def test_filters_narrow_the_gallery_and_tell_how_many_they_would_show(opened: Opened) -> None:
    page = opened.page
    assert opened.count() == "1–7 of 7"
    page.select_option("#filter-outcome", "rejected")
    assert opened.count() == "1–2 of 2 (of 7 in all)"
    assert page.locator(".card").count() == 2
    options = page.locator("#filter-kind option").all_inner_texts()
    assert options == ["all (2)", "conversation (0)", "detailed (0)", "reasoning (2)"]
    page.select_option("#filter-reason", "mentions_keypoints")
    assert page.locator(".card").count() == 1
    page.click("text=Clear filters")
    page.wait_for_selector(".card:nth-child(7)")
    page.select_option("#filter-verdict", "contradicted")
    assert page.locator(".card h3").all_inner_texts() == ["7-conversation-0"]
    page.click("text=Clear filters")
    page.wait_for_selector(".card:nth-child(7)")
    page.select_option("#filter-people", "2")
    assert page.locator(".card h3").all_inner_texts() == ["8-reasoning-0"]


def test_search_looks_into_the_text(opened: Opened) -> None:
    opened.page.keyboard.press("/")
    opened.page.keyboard.type("NOTHING follows")
    assert opened.page.locator(".card h3").all_inner_texts() == ["8-reasoning-0"]
    opened.page.keyboard.type(" at all")
    assert opened.page.locator(".card").count() == 0
    assert opened.count() == "0 entries (of 7 in all)"
    assert "Nothing matches" in opened.page.inner_text("#cards")


def test_order_puts_the_contradicted_first(opened: Opened) -> None:
    assert opened.page.locator(".card h3").first.inner_text() == "7-conversation-0"
    opened.page.select_option("#order", "contradicted first")
    outcomes = opened.page.locator(".card .badge.kept, .card .badge.rejected, .card .badge.duplicate").all_inner_texts()
    assert outcomes == ["kept", "duplicate", "rejected", "rejected", "kept", "kept", "kept"]


def test_hovering_a_claim_lights_the_keypoints_that_decided_it(opened: Opened) -> None:
    page = opened.page
    card = page.locator(".card", has_text="7-conversation-0").first
    mark = card.locator(".claim", has_text="left arm raised").first
    assert "contradicted" in str(mark.get_attribute("class"))
    assert card.locator(".stage.lit").count() == 0
    mark.hover()
    lit = card.locator(".lit .dot.on").evaluate_all("dots => dots.map(dot => Number(dot.dataset.keypoint))")
    assert lit == [5, 7, 9]
    ends = card.locator(".lit .limb.on:not(.shade)").evaluate_all("limbs => limbs.map(limb => limb.dataset.ends)")
    assert sorted(ends) == ["5 7", "7 9"]
    tip = page.inner_text("#tip")
    for words in ("contradicted", "left arm: raised", "left arm=down, margin 3.3", "person 1", "left elbow"):
        assert words in tip
    page.mouse.move(1, 1)
    assert card.locator(".stage.lit").count() == 0
    assert page.locator("#tip").is_hidden()


def test_claims_are_reached_and_held_by_keyboard(opened: Opened) -> None:
    page = opened.page
    card = page.locator(".card", has_text="7-conversation-0").first
    card.locator(".claim").first.focus()
    assert page.locator("#tip").is_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert card.locator('.claim[aria-pressed="true"]').count() == 1
    assert card.locator(".stage.lit").count() == 1
    page.keyboard.press("Escape")
    assert card.locator('.claim[aria-pressed="true"]').count() == 0
    assert card.locator(".stage.lit").count() == 0


def test_verdicts_are_not_told_by_colour_alone(opened: Opened) -> None:
    styles = {
        verdict: opened.page.locator(f"#legend .claim.{verdict}").evaluate(
            "e => getComputedStyle(e).textDecorationStyle"
        )
        for verdict in ("supported", "contradicted", "unverifiable", "fault")
    }
    assert len(set(styles.values())) == 4
    labels = opened.page.locator(".card .claim.contradicted").first.get_attribute("aria-label")
    assert labels == "left arm raised: contradicted: left arm: raised"


def test_a_missing_image_leaves_the_skeleton_on_a_plain_ground_and_says_so(opened: Opened) -> None:
    card = opened.page.locator(".card", has_text="8-reasoning-0")
    assert card.locator("img").count() == 0
    assert card.locator(".dot").count() == 34
    assert "not at hand" in card.inner_text()
    with_image = opened.page.locator(".card", has_text="7-conversation-0").first.locator("img")
    assert with_image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 480


def test_markup_in_the_data_stays_text(opened: Opened) -> None:
    assert opened.page.title() == "tiny · kpray report"
    assert opened.page.locator(".card", has_text="9-conversation-0").locator(".turn.gpt .said").inner_text() == (
        f"He says {EVIL}"
    )
    assert opened.page.locator("img[src=x]").count() == 0


def test_pages_are_turned_by_keyboard_and_only_one_is_drawn(browser: Any, large: str) -> None:
    opened = Opened(browser, large)
    page = opened.page
    assert opened.count() == "1–10 of 1,000"
    page.keyboard.press("j")
    assert opened.focused() == "7-conversation-0"
    page.keyboard.press("ArrowRight")
    assert opened.count() == "11–20 of 1,000"
    page.keyboard.press("ArrowLeft")
    for _ in range(CARDS_ON_A_PAGE + 1):
        page.keyboard.press("j")
    assert opened.count() == "11–20 of 1,000"
    page.keyboard.press("k")
    assert opened.count() == "1–10 of 1,000"
    assert page.locator(".card").count() == CARDS_ON_A_PAGE
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("ArrowRight")
    assert opened.count() == "1–10 of 1,000"
    page.close()


def test_a_filter_over_a_thousand_samples_draws_one_page(browser: Any, large: str) -> None:
    opened = Opened(browser, large)
    page = opened.page
    nodes_before = page.evaluate("document.querySelectorAll('*').length")
    started = time.perf_counter()
    page.select_option("#filter-claim", "posture")
    seconds = time.perf_counter() - started
    print(f"filter over 1,000 samples: {1000 * seconds:.0f} ms, {nodes_before} nodes")
    assert opened.count() == "1–10 of 999 (of 1,000 in all)"
    assert page.locator(".card").count() == CARDS_ON_A_PAGE
    assert page.evaluate("document.querySelectorAll('*').length") < nodes_before + 100
    assert nodes_before < 3_000
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_button(browser: Any, small: str, scheme: str) -> None:
    opened = Opened(browser, small, color_scheme=scheme)
    page = opened.page

    def ground() -> int:
        """Brightness of the page, 0..765."""
        colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    bright = {"light": ground() > 600, "dark": ground() < 200}
    assert bright[scheme]
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: light"
    assert ground() > 600
    page.click("#theme")
    assert ground() < 200
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, small: str, scheme: str) -> None:
    """WCAG 2: at least 4.5 to 1."""
    opened = Opened(browser, small, color_scheme=scheme)
    for selector in ("body", ".quiet", ".facts dt", ".legend .claim.contradicted", ".card .claim", ".badge.rejected"):
        assert opened.page.evaluate(CONTRAST, selector) >= 4.5, selector
    opened.page.close()


CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d');
  const luminance = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  };
  const element = document.querySelector(selector);
  let behind = element;
  const clear = 'rgba(0, 0, 0, 0)';
  while (behind.parentElement && getComputedStyle(behind).backgroundColor === clear) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance).sort();
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_a_printed_page_is_light_and_has_no_controls(browser: Any, small: str) -> None:
    opened = Opened(browser, small, color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.page.locator("#filters").is_hidden()
    assert opened.page.locator("#theme").is_hidden()
    assert opened.page.locator(".card").first.is_visible()
    assert opened.page.locator(".chart").first.is_visible()
    assert opened.page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(35, 37, 43)"
    assert opened.page.pdf().startswith(b"%PDF")
    opened.page.close()


def test_a_narrow_screen_needs_no_scrolling_sideways(browser: Any, small: str) -> None:
    opened = Opened(browser, small, viewport={"width": 360, "height": 740})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    opened.page.close()


def test_every_control_has_a_name_and_ids_are_unique(opened: Opened) -> None:
    nameless = """() => [...document.querySelectorAll('button, select, input, [role=button], [role=region]')]
      .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"""
    assert opened.page.evaluate(nameless) == []
    doubled = "() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id);"
    assert opened.page.evaluate(doubled + " return ids.filter((id, i) => ids.indexOf(id) !== i); }") == []
    assert opened.page.locator("main").count() == 1
    assert opened.page.locator("h1").count() == 1


def test_a_sampled_page_says_so(browser: Any, tmp_path: Path) -> None:
    many = [sample(f"7-conversation-{i}", ANSWER) for i in range(40)]
    opened = Opened(browser, report(write_run(tmp_path / "run", samples=many), limit=12))
    assert opened.page.inner_text("#drawn").startswith("12 of 40 entries, drawn at random (seed 0)")
    assert opened.count() == "1–10 of 12"
    opened.page.close()


def test_claims_that_overlap_are_told_together_and_shown_whole(browser: Any, tmp_path: Path) -> None:
    overlapping = (claim(ANSWER, "left arm raised"), claim(ANSWER, "arm raised and stands", keypoints=(6, 8, 10)))
    folder = write_run(tmp_path / "run", samples=[sample("7-conversation-0", ANSWER, claims=overlapping)])
    opened = Opened(browser, report(folder))
    marks = opened.page.locator(".card .claim")
    assert marks.all_text_contents() == ["left ", "arm raised", " and stands"]
    marks.nth(0).hover()
    assert opened.page.locator(".claim.on").all_text_contents() == ["left ", "arm raised"]
    marks.nth(1).hover()
    assert opened.page.locator("#tip section").count() == 2
    assert opened.page.locator(".lit .dot.on").count() == 6
    opened.page.close()
