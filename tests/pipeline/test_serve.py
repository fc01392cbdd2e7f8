"""The page of `serve`: driven in a real browser, and asked over HTTP for what it must not give."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import threading
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pages import EVIL, jpeg, judged

from data.base.errors import DataError
from tasks.library.examples import Examples
from tasks.library.trained_model import Answers


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served(tiny_run, tmp_path_factory):
    """(port, folder of its uploads) of the page of a model of the tiny sample, served as a user serves it."""
    pytest.importorskip("gradio", reason="needs the extra serve")
    temporary = tmp_path_factory.mktemp("uploads")
    port = free_port()
    process = tiny_run[0].start("pipeline", "serve", "--port", port, TMPDIR=str(temporary))
    assert process.stdout.readline() == "loading the newest model ...\n"
    line = process.stdout.readline()
    assert line == f"http://127.0.0.1:{port}/  (Ctrl-C ends it)\n", line + process.stdout.read()
    yield port, temporary
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM and "Traceback" not in output, output
    assert list(temporary.glob("vqa-serve-*")) == []


@pytest.fixture
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if not shutil.which("chromedriver"):
        pytest.skip("needs chromium with its chromedriver")
    options = webdriver.ChromeOptions()
    for flag in ("headless", "no-sandbox", "disable-gpu", "window-size=1280,1150"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield Visitor(driver)
    driver.quit()


class Visitor:
    """Someone at a browser: finds by CSS, waits up to half a minute."""

    def __init__(self, driver):
        self.driver = driver

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def wait(self, css, ready=bool):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            elements = [element for element in self.all(css) if element.is_displayed()]
            if elements and ready(elements):
                return elements
            time.sleep(0.1)
        raise AssertionError(f"{css}: {self.driver.find_element('css selector', 'body').text}")

    def open(self, port):
        self.driver.get(f"http://127.0.0.1:{port}")
        self.wait("#ask")

    def drop(self, path):
        self.wait("#picture")
        self.all("#picture input[type=file]")[0].send_keys(str(path))
        self.wait("#picture img")

    def ask(self, question):
        (box,) = self.wait("#question textarea, #question input")
        box.clear()
        box.send_keys(question)
        self.wait("#ask")[0].click()

    def until(self, holds):
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end, self.text("body")
            time.sleep(0.1)

    def text(self, css):
        return " ".join(element.text for element in self.all(css))

    def phone(self):
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)

    def box(self, css):
        """Where an element stands on the page, in pixels."""
        return self.driver.execute_script(
            "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", css
        )

    def elsewhere(self):
        """Addresses that the page loaded from anywhere but its own server."""
        return self.driver.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
            ".filter(n => !n.startsWith(location.origin) && !n.startsWith('data:') && !n.startsWith('blob:'))"
        )


def picture_of(shell, folder):
    with zipfile.ZipFile(shell.artifact("make-sample") / "sample-val.zip") as archive:
        name = min(name for name in archive.namelist() if name.endswith(".jpg"))
        (folder / "photo.jpg").write_bytes(archive.read(name))
    return folder / "photo.jpg"


@pytest.mark.slow
def test_from_upload_to_answer(served, browser, tiny_run, tmp_path):
    shell = tiny_run[0]
    question = "What color is the zeppelin?"
    picture = picture_of(shell, tmp_path)
    printed = shell("pipeline", "ask", picture, question)
    browser.open(served[0])
    browser.drop(picture)
    browser.ask(question)
    bars = browser.wait("#answers .label", lambda elements: len(elements) == 5)
    assert [element.text.split("\n")[0] for element in bars] == [
        line.split("%  ")[1] for line in printed.splitlines() if "%  " in line
    ]
    assert "Words that training did not have: zeppelin" in browser.wait("#note")[0].text
    assert not any(element.is_displayed() for element in browser.all("#people"))
    assert browser.elsewhere() == []
    about = browser.wait("#about")[0].text
    assert "Trained on sample; " in about and "% right of " in about and "drawn shapes" in about


@pytest.mark.slow
def test_a_picture_of_the_dataset(served, browser):
    """Its questions become suggestions; picking one asks it, and shows what people answered."""
    browser.open(served[0])
    common = [element.text for element in browser.wait("#suggestions label")]
    browser.wait("#gallery button img")[0].click()
    suggested = browser.wait(
        "#suggestions label", lambda elements: [element.text for element in elements] != common
    )
    question = suggested[0].text
    suggested[0].click()
    people = browser.wait("#people")[0].text
    assert people.startswith("What 10 people answered") and people.endswith("%")
    assert len(browser.all("#answers .label")) == 5
    assert browser.wait("#question textarea, #question input")[0].get_attribute("value") == question
    browser.driver.set_window_size(1280, 1150)
    if folder := os.environ.get("SCREENSHOTS"):
        browser.driver.save_screenshot(str(Path(folder) / "serve.png"))


@pytest.mark.slow
def test_an_answer_goes_with_its_picture(served, browser, tiny_run, tmp_path):
    """It is gone when the picture is removed, or replaced by one of the dataset's."""
    picture = picture_of(tiny_run[0], tmp_path)
    for change in ("#picture button[aria-label='Remove Image']", "#gallery button img"):
        browser.open(served[0])
        browser.drop(picture)
        browser.ask("What color is the zeppelin?")
        browser.wait("#answers .label", lambda elements: len(elements) == 5)
        browser.wait(change)[0].click()
        browser.until(lambda: not browser.all("#answers .label") and "zeppelin" not in browser.text("#note"))


@pytest.mark.slow
def test_on_a_phone_the_answer_stands_under_the_question(served, browser, tiny_run, tmp_path):
    browser.phone()
    browser.open(served[0])
    browser.drop(picture_of(tiny_run[0], tmp_path))
    browser.ask("What color is the star?")
    browser.wait("#answers .label", lambda elements: len(elements) == 5)
    order = [
        browser.box(name)
        for name in ("#picture", "#question", "#ask", "#answers", "#suggestions", "#gallery")
    ]
    assert [box["top"] for box in order] == sorted(box["top"] for box in order)
    assert order[3]["top"] - order[1]["bottom"] < 200
    assert all(box["width"] > 300 for box in order)
    if folder := os.environ.get("SCREENSHOTS"):
        browser.driver.save_screenshot(str(Path(folder) / "phone.png"))


@pytest.mark.slow
def test_a_phone_shows_every_picture_of_the_dataset(served, browser):
    browser.phone()
    browser.open(served[0])
    browser.wait("#gallery img")
    cropped = (
        "return [...document.querySelectorAll('#gallery img')].map(image => [getComputedStyle(image).objectFit, "
        "image.naturalWidth / image.naturalHeight, image.clientWidth / image.clientHeight])"
    )
    for fit, natural, shown in browser.driver.execute_script(cropped):
        assert fit == "contain" or abs(natural - shown) < 0.05
    hidden = (
        "const pictures = document.querySelector('#gallery .grid-wrap'), page = document.documentElement;"
        "return [pictures.scrollWidth - pictures.clientWidth, page.scrollWidth - page.clientWidth]"
    )
    assert browser.driver.execute_script(hidden) == [0, 0]


@pytest.mark.slow
def test_a_broken_picture_gives_a_message(served, browser, tmp_path):
    broken = tmp_path / "broken.jpg"
    for content in (b"<html>not a picture", jpeg()[:300], b""):
        broken.write_bytes(content)
        browser.open(served[0])
        browser.wait("#picture")
        browser.all("#picture input[type=file]")[0].send_keys(str(broken))
        browser.wait("#picture img, #picture button[aria-label='Remove Image']", lambda elements: True)
        browser.ask("What is this?")
        browser.wait("#note", lambda elements: "the picture: " in elements[0].text)
        assert "Traceback" not in browser.driver.page_source and not browser.all("#answers .label")


class Parrot:
    """A model whose every text was made to hurt."""

    sees_pictures = True
    origin = SimpleNamespace(name=EVIL, parameters={"dataset": EVIL}, judgements=list)

    def ask(self, picture, *questions):
        if "refuse" in questions[0]:
            raise DataError(EVIL)
        answers = [(EVIL, 0.6), ("<b>bold</b>", 0.3), ("[a](javascript:alert(1))", 0.1)]
        return [Answers(question, answers, [EVIL]) for question in questions]


@contextmanager
def page_of(model, examples, folder):
    """The port of a model's page."""
    pytest.importorskip("gradio", reason="needs the extra serve")
    from pipeline.commands.serve.page import OPTIONS, build_page

    page = build_page(model, examples, folder)
    port = free_port()
    page.launch(**OPTIONS, server_name="127.0.0.1", server_port=port, prevent_thread_lock=True)
    yield port
    page.close()


@pytest.fixture
def parrot(tmp_path):
    """The port of a page all of whose texts are hostile."""
    questions = {7: [judged(1, question=EVIL, humans=[EVIL] * 9 + ["<i>i</i>"])]}
    with page_of(Parrot(), Examples(questions, [EVIL], lambda number: jpeg()), tmp_path) as port:
        yield port


class Slow:
    """A model that takes its time."""

    sees_pictures = True
    origin = SimpleNamespace(name="slow", parameters={"dataset": "shapes"}, judgements=list)

    def __init__(self):
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def ask(self, picture, *questions):
        self.asked.set()
        assert self.may_answer.wait(60)
        return [Answers(question, [("late", 1.0)], []) for question in questions]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["#picture button[aria-label='Remove Image']", "#gallery button img"])
def test_an_answer_that_comes_after_its_picture_has_changed_is_not_shown(browser, tmp_path, change):
    model = Slow()
    (tmp_path / "photo.jpg").write_bytes(jpeg(9))
    with page_of(model, Examples({7: [judged(1)]}, [], lambda number: jpeg()), tmp_path) as port:
        browser.open(port)
        browser.drop(tmp_path / "photo.jpg")
        browser.ask("What is this?")
        assert model.asked.wait(30)
        before = browser.all("#picture img")[0].get_attribute("src")
        browser.all(change)[0].click()
        browser.until(lambda: [img.get_attribute("src") for img in browser.all("#picture img")] != [before])
        model.may_answer.set()
        time.sleep(2)
        assert not browser.all("#answers .label")
        browser.ask("What is this?")
        browser.until(lambda: browser.all("#answers .label") or "No picture yet" in browser.text("#note"))


@pytest.mark.slow
def test_html_and_script_are_shown_as_text(parrot, browser):
    browser.open(parrot)
    browser.wait("#gallery button img")[0].click()
    browser.wait("#picture img")
    browser.wait("#suggestions label")[0].click()
    shown = browser.wait("#people")[0].text + browser.wait("#answers")[0].text + browser.wait("#note")[0].text
    assert shown.count("</script><script>") == 3
    assert "<b>bold</b>" in shown and "<i>i</i>" in shown and "[a](javascript" in shown
    browser.ask(f"refuse {EVIL}")
    browser.wait("#note", lambda elements: "Words" not in elements[0].text and EVIL[:9] in elements[0].text)
    assert browser.driver.execute_script("return document.documentElement.dataset.harmed ?? ''") == ""
    assert browser.driver.execute_script(
        "return document.images.length && [...document.images].every(i => i.src)"
    )
    assert browser.driver.find_elements("css selector", "img[src='x'], a[href^=javascript]") == []


def get(port, path):
    """(status, body) of a request whose path is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    reply = answer.status, answer.read()
    connection.close()
    return reply


@pytest.mark.slow
def test_no_file_of_the_server_is_given_out(served, tiny_run):
    port, shell = served[0], tiny_run[0]
    manifest = next(shell.artifacts.glob("*/*/manifest.json"))
    assert get(port, "/")[0] == 200
    for target in (Path("/etc/passwd"), shell.config, manifest):
        secret = target.read_bytes()
        up = "../" * 12 + str(target)[1:]
        for path in (
            f"/gradio_api/file={target}",
            f"/file={target}",
            f"/gradio_api/file={up}",
            f"/gradio_api/file=file://{target}",
            f"/static/{up}",
            f"/assets/{up}",
            f"/theme.css/{up}",
            f"/gradio_api/file={served[1]}/{up}",
            f"/{up}".replace("../", "%2e%2e%2f"),
            f"/gradio_api/file={up}".replace("../", "..%2f"),
            f"/gradio_api/stream/{up}",
            f"/gradio_api/custom_component/x/client/component/{up}",
        ):
            status, body = get(port, path)
            assert secret not in body and (status >= 400 or b"<!doctype html>" in body[:200].lower()), path
    # Nor does it fetch from this machine or its network for others.
    assert get(port, f"/gradio_api/file=http://127.0.0.1:{port}/config")[0] >= 400


@pytest.mark.slow
def test_an_upload_is_limited_and_leaves_nothing(served):
    port, folder = served
    before = {path for path in folder.rglob("*") if path.is_file()}
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../a.jpg"\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(len(body) + (60 << 20)))
    connection.endheaders(body)
    status = 0
    try:
        for _ in range(60):
            connection.send(bytes(1 << 20))
    except OSError:
        pass  # refused before its end
    else:
        status = connection.getresponse().status
    assert status in (0, 413)
    held = [path for path in folder.rglob("*") if path.is_file() and path not in before]
    assert sum(path.stat().st_size for path in held) <= 21 << 20
    assert get(port, "/")[0] == 200


@pytest.mark.slow
def test_only_this_machine_reaches_it(served):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        address = probe.getsockname()[0]
    with pytest.raises(OSError), socket.create_connection((address, served[0]), timeout=5):
        pass


@pytest.mark.slow
def test_a_port_in_use_is_one_line(served, tiny_run):
    output = tiny_run[0]("pipeline", "serve", "--port", served[0], code=1)
    assert output.startswith(f"error: 127.0.0.1:{served[0]}: Address already in use; name another --port")


def test_a_port_that_is_none_is_one_line(tiny_run):
    output = tiny_run[0]("pipeline", "serve", "--port", 99999, code=1)
    assert output.startswith("error: 127.0.0.1:99999: ") and "0 to 65535" in output


def test_without_gradio_the_command_that_installs_it(tiny_run, tmp_path):
    (tmp_path / "gradio.py").write_text("raise ImportError('No module named gradio')")
    output = tiny_run[0]("pipeline", "serve", code=1, PYTHONPATH=str(tmp_path))
    assert output.startswith("loading the newest model ...\nerror: ")
    assert "pip install -c constraints.txt -e '.[serve]'" in output and "Traceback" not in output
