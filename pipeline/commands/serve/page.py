"""The page of `serve`, built with gradio: a picture, a question, the answers as bars, and what people answered.

Texts of data and visitors reach the page through components that show them as text, or escaped.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import Markup

from data.base.errors import DataError, ModelError
from data.base.files import PICTURE_BYTES, read_plain
from data.pictures.thumbnails import thumbnail

if TYPE_CHECKING:
    from tasks.library.examples import Examples
    from tasks.library.trained_model import Model

LONGEST = 500  # characters of a question; the network reads its first 26 words
SUGGESTED = 6
UPLOAD = "20mb"
OPTIONS: dict[str, Any] = {
    "max_file_size": UPLOAD,
    "share": False,
    "quiet": True,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "mcp_server": False,
    "ssr_mode": False,
    "pwa": False,
    # Fonts of the visitor's own system: the page loads nothing from elsewhere.
    "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
}


class Page:
    """What happens on the page. A visitor's own picture is a path; a picture of the dataset is known by its id."""

    def __init__(self, model: Model, examples: Examples, folder: Path) -> None:
        self.model, self.examples = model, examples
        self.shown: dict[int, Path] = {}
        for number in examples.asked if model.sees_pictures else ():
            if content := thumbnail(examples.read(number), 800):
                self.shown[number] = folder / f"{number}.jpg"
                self.shown[number].write_bytes(content)

    def answer(self, picture: str | None, chosen: int | None, question: str) -> tuple[Any, ...]:
        """The answers' probabilities, a note, and how people answered, where that is known."""
        try:
            found = self._ask(picture, chosen, question.strip())
        except (DataError, ModelError) as error:
            return {}, _note(str(error)), gr.update(visible=False)
        unknown = ", ".join(found.unknown_words)
        note = _note(f"Words that training did not have: {unknown}") if unknown else ""
        return dict(found.answers), note, self._people(chosen, found.question)

    def _ask(self, picture: str | None, chosen: int | None, question: str) -> Any:
        if len(question) > LONGEST:
            raise DataError(f"a question of {len(question):,} characters; at most {LONGEST} are read")
        if not self.model.sees_pictures:
            return self.model.ask(b"", question)[0]
        if picture is None:
            raise DataError(
                "No picture yet: drop one of yours" + (" or pick one below." if self.shown else ".")
            )
        content = self.examples.read(chosen) if chosen is not None else _content(picture)
        return self.model.ask(content, question)[0]

    def _people(self, chosen: int | None, question: str) -> Any:
        asked = self.examples.asked.get(chosen, ()) if chosen is not None else ()
        said = next((one.humans for one in asked if one.question.strip() == question), None)
        if not said:
            return gr.update(visible=False)
        shares = {answer: count / len(said) for answer, count in Counter(said).items()}
        return gr.update(value=shares, label=f"What {len(said)} people answered", visible=True)

    def pick(self, event: gr.SelectData) -> tuple[Any, ...]:
        """One of the dataset's pictures: shown, with the questions that were asked about it."""
        number = list(self.shown)[event.index]
        questions = list(dict.fromkeys(one.question for one in self.examples.asked[number]))
        return self.shown[number], number, gr.update(choices=questions[:SUGGESTED], value=None)

    def own(self) -> tuple[Any, ...]:
        """A picture of the visitor's own, or none."""
        return None, gr.update(choices=list(self.examples.common[:SUGGESTED]), value=None)


def _note(text: str) -> str:
    return Markup('<p role="status">{}</p>').format(text)


def _uploaded(picture: Any) -> str | None:
    """The path of the file as it was uploaded: decoding it, with its limits, is extraction's."""
    return None if picture is None else picture.path


def _content(path: str) -> bytes:
    try:
        return read_plain(Path(path), PICTURE_BYTES)
    except DataError as error:  # whose path on the server is not for visitors
        raise DataError("the picture is gone from the server; drop it again") from error


def build_page(model: Model, examples: Examples, folder: Path) -> gr.Blocks:
    """The page, not yet served: launch it with OPTIONS. Small copies of the examples' pictures go into `folder`."""
    page = Page(model, examples, folder)
    with gr.Blocks(title="Ask about a picture", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.HTML(Markup("<h1>Ask about a picture</h1><p>{}</p>").format(model.run.name))
        chosen = gr.State(None)
        with gr.Row():
            with gr.Column(visible=model.sees_pictures):
                picture = gr.Image(
                    label="Picture",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=400,
                    elem_id="picture",
                )
                picture.preprocess = _uploaded
                gallery = gr.Gallery(
                    list(page.shown.values()),
                    label=f"Pictures of {model.run.parameters['dataset']}",
                    columns=4,
                    height="auto",
                    object_fit="cover",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    visible=bool(page.shown),
                    elem_id="gallery",
                )
            with gr.Column():
                question = gr.Textbox(
                    label="Question",
                    placeholder="What colour is the bus?",
                    max_length=LONGEST,
                    elem_id="question",
                )
                suggestions = gr.Radio(
                    list(examples.common[:SUGGESTED]),
                    label="Suggestions",
                    visible=bool(examples.common),
                    elem_id="suggestions",
                )
                ask = gr.Button("Ask", variant="primary", elem_id="ask")
                note = gr.HTML(elem_id="note")
                answers = gr.Label(label="Answers", show_heading=False, buttons=[], elem_id="answers")
                people = gr.Label(show_heading=False, buttons=[], visible=False, elem_id="people")
        given, told = [picture, chosen, question], [answers, note, people]
        for event in (ask.click, question.submit):
            event(page.answer, given, told, api_visibility="private", concurrency_id="model")
        suggestions.input(lambda text: text, suggestions, question, api_visibility="private").then(
            page.answer, given, told, api_visibility="private", concurrency_id="model"
        )
        picture.input(page.own, None, [chosen, suggestions], api_visibility="private")
        gallery.select(page.pick, None, [picture, chosen, suggestions], api_visibility="private")
    return blocks
