"""The chat page in a real browser, in front of a real gateway."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from PIL import Image as Pillow

pytest.importorskip("fastapi")

from gateway_server import KEY, ScriptedEngine, for_ever, gateway, images_of, picture, serving, wait_until

from kpray.reports.skeleton import LEFT_RGB, LIMBS, RIGHT_RGB, side_colour
from kpray.schemas import KEYPOINT_NAMES
from kpray.serving.errors import ApiError
from kpray.serving.page import page_html
from kpray.serving.types import ChatRequest, Delta

ALL_LABELLED = [n for k in range(17) for n in (10 + 2 * k, 5 + (7 * k) % 40, 1 + k % 2)]
REFUSED = "Failed to load resource"
"""What Chromium itself writes for every status of 400 and more."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser to drive")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("there is no Chromium on the path: the page is not tested")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


class Shown:
    """The page in a browser, with everything it complained about or asked for."""

    def __init__(self, browser: Any, origin: str, **context: Any) -> None:
        self.origin = origin
        self.page = browser.new_page(**context)
        self.page.set_default_timeout(60_000)  # a busy machine
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(origin)

    def add(self, name: str, kind: str, content: bytes) -> None:
        """Choose a file, as a person does from the disk."""
        chooser = "#picture-file" if kind.startswith("image/") else "#keypoints-file"
        self.page.set_input_files(chooser, {"name": name, "mimeType": kind, "buffer": content})

    def add_picture(self, width: int = 64, height: int = 48) -> None:
        self.add("scene.png", "image/png", picture(width, height))
        self.page.wait_for_selector("#stage img")

    def add_keypoints(self, *people: Any) -> None:
        self.add("people.json", "application/json", json.dumps(people).encode())

    def ask(self, question: str = "Which arm is raised?") -> None:
        self.page.fill("#question", question)
        self.page.keyboard.press("Enter")

    def answered(self, state: str = "done", count: int = 1) -> list[str]:
        """The texts of all answers, as soon as `count` of them are in a state."""
        self.page.wait_for_function(
            "([state, count]) => document.querySelectorAll(`[data-state=${state}]`).length === count",
            arg=[state, count],
        )
        return [str(text).strip() for text in self.page.locator(".answer .said").all_inner_texts()]

    def notice(self) -> str:
        self.page.wait_for_selector("#notice:not([hidden])")
        return str(self.page.inner_text("#notice-text"))


@contextlib.contextmanager
def chat_page(browser: Any, *engines: ScriptedEngine, keys: tuple[str, ...] = (), **context: Any) -> Iterator[Shown]:
    """The page of a gateway; it must ask nobody else, and the browser must find nothing wrong with it."""
    with serving(gateway(*engines, keys=keys, page=page_html())) as port:
        shown = Shown(browser, f"http://127.0.0.1:{port}", **context)
        try:
            if not keys:
                shown.page.wait_for_selector("body[data-ready]")
            yield shown
            assert [said for said in shown.complaints if not said.startswith(REFUSED)] == []
            local = (shown.origin + "/", "blob:", "data:")
            assert [url for url in shown.requests if not url.startswith(local)] == []
        finally:
            shown.page.close()


def saying(*words: str) -> Any:
    """A script that says some words, as many tokens."""

    async def script(request: ChatRequest) -> AsyncIterator[Delta]:
        for word in words:
            yield Delta(word)
        yield Delta("", "stop", prompt_tokens=80, completion_tokens=len(words))

    return script


def failing(error: Exception, *words: str) -> Any:
    """A script that fails after some words."""

    async def script(request: ChatRequest) -> AsyncIterator[Delta]:
        for word in words:
            yield Delta(word)
        raise error

    return script


def test_the_page_is_one_document_that_names_no_other_address() -> None:
    html = page_html().decode()
    assert "%" not in html[: html.index("<style>")]
    named = html.replace("http://www.w3.org/2000/svg", "")
    assert [found for found in ("http://", "https://", " src=", "@import", "url(") if found in named] == []


def test_a_picture_is_sent_and_pieces_are_shown_before_the_answer_is_complete(browser: Any) -> None:
    go_on = threading.Event()

    async def slow(request: ChatRequest) -> AsyncIterator[Delta]:
        yield Delta("The left ")
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        yield Delta("arm.")
        yield Delta("", "length", prompt_tokens=80, completion_tokens=4)

    engine = ScriptedEngine(script=slow)
    with chat_page(browser, engine) as shown:
        shown.add_picture()
        assert "scene.png · 64 × 48 px" in shown.page.inner_text("#picture-about")
        shown.ask()
        assert shown.answered("writing") == ["The left"]
        assert shown.page.locator("#ask").is_hidden()
        go_on.set()
        assert shown.answered("done") == ["The left arm."]
        about = shown.page.inner_text(".answer .about")
        assert about.startswith("4 tokens · ")
        assert [words for words in ("first word after", "cut at the longest length") if words not in about] == []
        assert shown.page.inner_text("#status") == "tiny: The left arm."
    (asked,) = engine.asked
    assert [(image.media_type, image.width, image.height) for image in images_of(asked)] == [("image/png", 64, 48)]
    assert asked.messages[-1].parts[-1] == "Which arm is raised?"
    assert (asked.sampling.temperature, asked.sampling.max_tokens) == (0.2, 256)


def test_a_second_question_sends_the_first_answer_and_the_picture_once(browser: Any) -> None:
    engine = ScriptedEngine(script=saying("The ", "left."))
    with chat_page(browser, engine) as shown:
        shown.add_picture()
        shown.ask("First?")
        shown.answered()
        shown.ask("Second?")
        shown.answered(count=2)
        second = engine.asked[-1]
        assert [message.role for message in second.messages] == ["user", "assistant", "user"]
        assert second.messages[1].parts == ("The left.",)
        assert len(images_of(second)) == 1
        shown.add("other.png", "image/png", picture(30, 30))
        shown.page.wait_for_selector("#picture-about:has-text('other.png')")
        shown.ask("Third?")
        shown.answered(count=3)
        assert "the models start anew" in shown.page.inner_text(".divider")
        assert [image.width for image in images_of(engine.asked[-1])] == [30]
        assert len(engine.asked[-1].messages) == 1
        shown.page.click("#afresh")
        assert shown.page.locator(".turn").count() == 0
        assert shown.page.locator("#welcome").is_visible()


def test_two_models_answer_side_by_side_each_with_its_own_past(browser: Any) -> None:
    base, tuned = ScriptedEngine("base", saying("from base")), ScriptedEngine("tuned", saying("from ", "tuned"))
    with chat_page(browser, base, tuned) as shown:
        shown.ask("First?")
        assert shown.answered(count=2) == ["from base", "from tuned"]
        left, right = (box.bounding_box() for box in shown.page.locator(".answer").all())
        assert left["y"] == right["y"]
        assert left["x"] + left["width"] < right["x"]
        shown.page.select_option("#model-first", "tuned")
        shown.ask("Second?")
        shown.answered(count=3)
    assert [message.parts for message in tuned.asked[-1].messages] == [("First?",), ("from tuned",), ("Second?",)]
    assert len(base.asked) == 1


def test_lineage_is_told_on_hover_and_on_click(browser: Any) -> None:
    with chat_page(browser) as shown:
        assert "12 steps" in str(shown.page.get_attribute("#info-first", "title"))
        shown.page.click("#info-first")
        told = shown.page.inner_text("#lineage")
        for words in ("tiny", "transformers", "2,048 tokens", "tiny-base", "12"):
            assert words in told
        shown.page.keyboard.press("Escape")
        assert shown.page.locator("#lineage").is_hidden()


def test_a_key_is_asked_for_once_and_kept_for_the_tab_only(browser: Any) -> None:
    with chat_page(browser, ScriptedEngine("a"), ScriptedEngine("b"), keys=(KEY,)) as shown:
        page = shown.page
        page.wait_for_selector("#key[open]")
        page.fill("#key-value", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-said:has-text('does not know that key')")
        page.fill("#key-value", f" {KEY} ")
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-ready]")
        shown.ask()
        shown.answered(count=2)
        assert page.locator("#key").is_hidden()
        assert page.evaluate("sessionStorage.getItem('kpray-key')") == KEY
        assert KEY not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.locator("#model-first").input_value() == "a"
        page.evaluate("sessionStorage.setItem('kpray-key', 'changed')")
        shown.ask()
        page.wait_for_selector("#key[open]")
        page.click("#key-cancel")
        shown.answered("failed", count=2)
        assert "A key is needed" in page.locator(".trouble").first.inner_text()


def test_an_error_is_shown_in_words_with_its_request_and_can_be_asked_again(browser: Any) -> None:
    engine = ScriptedEngine(script=failing(ApiError(503, "the model has too much to do", code="overloaded")))
    with chat_page(browser, engine) as shown:
        shown.ask()
        shown.answered("failed")
        (asked,) = engine.asked
        told = shown.page.inner_text(".trouble")
        assert [line for line in told.splitlines() if line] == [
            "The model has too much to do.",
            f"Request {asked.request_id}",
        ]
        engine.script = saying("Now.")
        shown.page.click("text=Ask again")
        assert shown.answered() == ["Now."]
        assert shown.page.locator(".trouble").count() == 0


def test_a_stream_that_fails_keeps_what_was_said_and_is_not_part_of_a_later_question(browser: Any) -> None:
    engine = ScriptedEngine(script=failing(RuntimeError("secret-reason"), "The left "))
    with chat_page(browser, engine) as shown:
        shown.ask("First?")
        assert shown.answered("failed") == ["The left"]
        told = shown.page.inner_text(".trouble")
        assert "The server failed on this request" in told
        assert engine.asked[0].request_id in told
        assert "secret-reason" not in shown.page.content()
        engine.script = saying("The right.")
        shown.ask("Second?")
        shown.answered()
        assert [message.parts for message in engine.asked[-1].messages] == [("Second?",)]


def test_a_refused_setting_is_told(browser: Any) -> None:
    with chat_page(browser) as shown:
        shown.page.click(".settings summary")
        shown.page.fill("#max-tokens", "5000")
        shown.ask()
        shown.answered("failed")
        assert "at most 1024 tokens" in shown.page.inner_text(".trouble")


def test_a_server_that_is_gone_is_told(browser: Any) -> None:
    with chat_page(browser) as shown:
        shown.page.route("**/v1/chat/completions", lambda route: route.abort())
        shown.ask()
        shown.answered("failed")
        assert "cannot be reached" in shown.page.inner_text(".trouble")


@pytest.mark.parametrize("how", ["button", "key"])
def test_stop_frees_the_place_on_the_server(browser: Any, how: str) -> None:
    engine = ScriptedEngine(script=for_ever)
    with chat_page(browser, engine) as shown:
        shown.ask()
        shown.answered("writing")
        assert engine.open == 1
        shown.page.click("#stop") if how == "button" else shown.page.keyboard.press("Escape")
        assert shown.answered("stopped")[0].startswith("word word")
        wait_until(lambda: engine.open == 0)
        assert shown.page.locator("#ask").is_visible()
        assert shown.page.inner_text(".answer .about").startswith("stopped")


def test_skeletons_are_drawn_as_in_the_reports(browser: Any) -> None:
    with chat_page(browser) as shown:
        shown.add_picture()
        plain = Pillow.open(io.BytesIO(shown.page.locator("#stage").screenshot())).convert("RGB")
        shown.add_keypoints({"keypoints": ALL_LABELLED, "bbox": [8, 3, 40, 44]})
        shown.page.wait_for_selector("#overlay")
        drawn = Pillow.open(io.BytesIO(shown.page.locator("#stage").screenshot())).convert("RGB")
        assert drawn.size == plain.size
        colours = {colour for _, colour in drawn.getcolors(1 << 24)} - {c for _, c in plain.getcolors(1 << 24)}
        assert {LEFT_RGB, RIGHT_RGB} <= colours
        limbs = shown.page.locator(".limb:not(.shade)").evaluate_all(
            "lines => lines.map(line => [line.dataset.ends.split(' '), line.classList[1]])"
        )
        sides = {LEFT_RGB: "left", RIGHT_RGB: "right"}
        expected = {(frozenset(limb), sides.get(side_colour(*limb), "middle")) for limb in LIMBS}
        assert {(frozenset(ends), side) for ends, side in limbs} == expected
        dots = shown.page.locator(".dot").evaluate_all(
            "dots => dots.map(dot => [dot.textContent, dot.cx.baseVal.value])"
        )
        assert [x for _, x in dots] == ALL_LABELLED[::3]
        assert [name.split(" of ")[0].replace(" ", "_") for name, _ in dots] == list(KEYPOINT_NAMES)
        assert shown.page.locator(".dot.concealed").count() == ALL_LABELLED[2::3].count(1)
        shown.page.uncheck("#overlay-shown")
        assert shown.page.locator("#overlay").is_hidden()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{", "not JSON"),
        ('{"keypoints": [1, 2]}', "expected 51 numbers"),
        (json.dumps({"keypoints": [1, 1, 7] * 17}), "expected 51 numbers"),
        (json.dumps([{"keypoints": [0] * 51}]), "no labelled keypoint"),
        ("[{}, null, 3]", "No keypoints in this JSON"),
        (json.dumps({"images": [], "annotations": []}), "None of this file's 0 images"),
        (json.dumps({"keypoints": [900, 9, 2] * 17}), "17 keypoints lie outside of this picture (64 × 48 px)"),
    ],
)
def test_keypoints_that_cannot_be_meant_are_told(browser: Any, said: str, expected: str) -> None:
    with chat_page(browser) as shown:
        shown.add_picture()
        shown.add("people.json", "application/json", said.encode())
        assert expected in shown.notice()


def test_a_whole_coco_file_gives_the_people_of_this_picture(browser: Any) -> None:
    images = [{"id": 1, "file_name": "other.png"}, {"id": 2, "file_name": "scene.png"}]
    people = [{"image_id": i, "keypoints": ALL_LABELLED} for i in (1, 2, 2)]
    with chat_page(browser) as shown:
        shown.add_picture()
        coco = json.dumps({"images": images, "annotations": people}).encode()
        shown.add("person_keypoints.json", "application/json", coco)
        assert shown.page.wait_for_selector("#overlay").get_attribute("aria-label") == "Skeletons of 2 people"


PASTE = """([name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  const data = new DataTransfer();
  if (name) data.items.add(new File([bytes], name, { type }));
  else data.setData('text/plain', new TextDecoder().decode(bytes));
  EVENT
}"""
ON_PASTE = "document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));"
ON_DROP = "document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));"


@pytest.mark.parametrize("event", [ON_PASTE, ON_DROP], ids=["pasted", "dropped"])
def test_a_picture_can_be_pasted_and_dropped(browser: Any, event: str) -> None:
    with chat_page(browser) as shown:
        encoded = base64.b64encode(picture(40, 30)).decode()
        shown.page.evaluate(PASTE.replace("EVENT", event), ["mine.png", "image/png", encoded])
        shown.page.wait_for_selector("#picture-about:has-text('mine.png · 40 × 30 px')")
        people = base64.b64encode(json.dumps({"keypoints": ALL_LABELLED}).encode()).decode()
        name = "" if event is ON_PASTE else "people.json"
        shown.page.evaluate(PASTE.replace("EVENT", event), [name, "application/json", people])
        shown.page.wait_for_selector("#overlay")


def test_a_large_picture_is_shrunk_before_it_is_sent_and_its_keypoints_stay_in_place(browser: Any) -> None:
    engine = ScriptedEngine(script=saying("Yes."))
    with chat_page(browser, engine) as shown:
        shown.add_picture(3000, 1500)
        assert "3000 × 1500 px · sent as 2048 × 1024" in shown.page.inner_text("#picture-about")
        shown.add_keypoints({"keypoints": ALL_LABELLED})
        assert shown.page.wait_for_selector("#overlay").get_attribute("viewBox") == "0 0 3000 1500"
        shown.ask()
        shown.answered()
    (sent,) = images_of(engine.asked[0])
    assert (sent.media_type, sent.width, sent.height) == ("image/jpeg", 2048, 1024)


def test_other_kinds_of_pictures_are_sent_as_jpeg_and_what_is_none_is_told(browser: Any) -> None:
    engine = ScriptedEngine(script=saying("Yes."))
    with chat_page(browser, engine) as shown:
        shown.add("moving.gif", "image/gif", picture(20, 10, "GIF"))
        shown.page.wait_for_selector("#picture-about:has-text('sent as JPEG')")
        shown.ask()
        shown.answered()
        assert images_of(engine.asked[0])[0].media_type == "image/jpeg"
        shown.add("broken.png", "image/png", b"no picture at all")
        assert "cannot read broken.png as a picture" in shown.notice()
        assert "moving.gif" in shown.page.inner_text("#picture-about")


EVIL = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'


def test_markup_from_a_model_stays_text(browser: Any) -> None:
    with chat_page(browser, ScriptedEngine(EVIL, saying(EVIL))) as shown:
        shown.ask(EVIL)
        assert shown.answered() == [EVIL]
        assert shown.page.title() == "kpray chat"
        assert shown.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_no_width_needs_scrolling_sideways(browser: Any, width: int) -> None:
    long = "a" * 300
    engines = [ScriptedEngine(name, saying(long)) for name in ("base-" + "b" * 80, "tuned")]
    with chat_page(browser, *engines, viewport={"width": width, "height": 740}) as shown:
        shown.add_picture(600, 200)
        shown.add_keypoints({"keypoints": ALL_LABELLED})
        shown.page.wait_for_selector("#overlay")
        shown.page.click(".settings summary")
        shown.ask(long)
        shown.answered(count=2)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        shown.page.click("#info-first")
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.page.locator("#lineage").bounding_box()["x"] >= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, scheme: str) -> None:
    """WCAG 2: at least 4.5 to 1."""
    engine = ScriptedEngine(script=failing(ApiError(503, "busy", code="overloaded"), "Yes."))
    with chat_page(browser, engine, color_scheme=scheme) as shown:
        shown.ask()
        shown.answered("failed")
        selectors = (".top p", ".drop", ".asked", ".answer h3", ".said", ".trouble", ".trouble .id", "#theme")
        for selector in (*selectors, ".picker label", ".answer .about"):
            assert shown.page.evaluate(CONTRAST, selector) >= 4.5, selector


CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
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


def test_every_control_has_a_name_and_the_keyboard_reaches_the_question(browser: Any) -> None:
    nameless = """() => [...document.querySelectorAll('button, select, input, textarea')]
      .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"""
    doubled = "() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id);"
    with chat_page(browser) as shown:
        shown.add_picture()
        shown.add_keypoints({"keypoints": ALL_LABELLED})
        shown.page.wait_for_selector("#overlay")
        assert shown.page.evaluate(nameless) == []
        assert shown.page.evaluate(doubled + " return ids.filter((id, i) => ids.indexOf(id) !== i); }") == []
        shown.page.evaluate("document.activeElement.blur()")
        shown.page.keyboard.press("Tab")
        shown.page.keyboard.press("Enter")
        assert shown.page.evaluate("document.activeElement.id") == "question"


def test_the_theme_is_chosen_and_remembered(browser: Any) -> None:
    with chat_page(browser, color_scheme="light") as shown:
        page = shown.page
        page.click("#theme")
        page.click("#theme")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.inner_text("#theme") == "Theme: dark"
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(22, 24, 28)"
