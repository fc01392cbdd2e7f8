"""The page of `serve`, built with gradio: a picture, a question, the answers as bars, and what people answered.

Texts of data and visitors reach the page only through components that show them as text, or escaped.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from markupsafe import Markup

from data.base.errors import DataError, ModelError
from data.base.files import PICTURE_BYTES, read_plain
from data.pictures.attention_maps import attention_map
from data.pictures.thumbnails import thumbnail
from tasks.library.model_origin import described

if TYPE_CHECKING:
    from tasks.library.examples import Examples
    from tasks.library.trained_model import Answers, Model

LONGEST = 500  # characters of a question; the network reads its first 26 words
SUGGESTED = 6
MAP = 400  # pixels of a map's longer side
UPLOAD = "20mb"
STYLE = """
/* A phone shows the picture, the question, its answer, and the data set's pictures last. */
@media (max-width: 640px) {
  #page { flex-direction: column; }
  #left, #right { display: contents; }
  #gallery { order: 1; }
}
/* Labels stand above pictures, not on them. */
#gallery .grid-wrap, #picture .image-container, #looked .image-container { padding-top: 2rem; }
/* A phone shows all columns of the gallery, and no empty bands around a picture. */
#gallery .grid-container { grid-template: none / repeat(4, minmax(0, 1fr)); grid-auto-rows: auto; }
#gallery .thumbnail-item { height: auto; }
#gallery .grid-wrap { min-height: 0; }
/* No gap where there is nothing to be said. */
#note:not(:has([role=status])) { display: none; }
@media (max-width: 640px) { #picture { height: 300px !important; } }
"""
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
    "css": STYLE,
    # Fonts of the visitor's own system: the page loads nothing from elsewhere.
    "theme": gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
}


class Page:
    """What happens on the page. A visitor's own picture is a path; a picture of the dataset has an id."""

    def __init__(self, model: Model, examples: Examples, folder: Path) -> None:
        self.model, self.examples = model, examples
        self.shown: dict[int, Path] = {}
        for number in examples.questions if model.sees_pictures else ():
            if content := thumbnail(examples.read(number), 800):
                self.shown[number] = folder / f"{number}.jpg"
                self.shown[number].write_bytes(content)

    def answer(self, picture: str | None, chosen: int | None, question: str) -> tuple[Any, ...]:
        """The answers' probabilities, a note, how people answered if that is known, and where the model looked."""
        try:
            reply = self._ask(picture, chosen, question.strip())
        except (DataError, ModelError) as error:
            return {}, _note(str(error)), *_unanswered()[2:]
        unknown = ", ".join(reply.unknown_words)
        note = _note(f"Words that training did not have: {unknown}") if unknown else ""
        return (
            dict(reply.answers),
            note,
            self._people(chosen, reply.question),
            self._looked(picture, chosen, reply),
        )

    def _looked(self, picture: str | None, chosen: int | None, reply: Answers) -> Any:
        """The picture under what the model looked at, a panel a glimpse; nothing for a model without attention."""
        if reply.attention is None or picture is None:
            return gr.update(visible=False)
        return gr.update(
            value=attention_map(self._picture(picture, chosen), list(reply.attention), MAP), visible=True
        )

    def _picture(self, picture: str, chosen: int | None) -> bytes:
        return self.examples.read(chosen) if chosen is not None else _content(picture)

    def _ask(self, picture: str | None, chosen: int | None, question: str) -> Any:
        if len(question) > LONGEST:
            raise DataError(f"a question of {len(question):,} characters; at most {LONGEST} are read")
        if not self.model.sees_pictures:
            return self.model.ask(b"", question)[0]
        if picture is None:
            raise DataError(
                "No picture yet: drop one of yours" + (" or pick one below." if self.shown else ".")
            )
        return self.model.ask(self._picture(picture, chosen), question)[0]

    def _people(self, chosen: int | None, question: str) -> Any:
        questions = self.examples.questions.get(chosen, ()) if chosen is not None else ()
        said = next((judged.humans for judged in questions if judged.question.strip() == question), None)
        if not said:
            return gr.update(visible=False)
        shares = {answer: count / len(said) for answer, count in Counter(said).items()}
        return gr.update(value=shares, label=f"What {len(said)} people answered", visible=True)

    def pick(self, event: gr.SelectData) -> tuple[Any, ...]:
        """One of the dataset's pictures: shown, with the questions that were asked about it, and no answers yet."""
        number = list(self.shown)[event.index]
        questions = list(dict.fromkeys(judged.question for judged in self.examples.questions[number]))
        return (
            self.shown[number],
            number,
            gr.update(choices=questions[:SUGGESTED], value=None),
            *_unanswered(),
        )

    def own(self) -> tuple[Any, ...]:
        """A picture of the visitor's own, or none; what was answered about another one is gone."""
        suggestions = gr.update(choices=list(self.examples.common[:SUGGESTED]), value=None)
        return None, suggestions, *_unanswered()


def _unanswered() -> tuple[Any, ...]:
    """What `answer` gives, before there is an answer."""
    return {}, "", gr.update(visible=False), gr.update(visible=False)


def _header(model: Model) -> str:
    """Which model answers, and what it is worth."""
    about = Markup("").join(Markup("<p>{}</p>").format(text) for text in described(model.origin))
    return Markup("<h1>Ask about a picture</h1><p>{}</p>{}").format(model.origin.name, about)


def _note(text: str) -> str:
    return Markup('<p role="status">{}</p>').format(text)


def _uploaded(picture: Any) -> str | None:
    """The path of the file as it was uploaded: decoding it, with its limits, is extraction's."""
    return None if picture is None else picture.path


def _content(path: str) -> bytes:
    try:
        return read_plain(Path(path), PICTURE_BYTES)
    except DataError as error:  # visitors must not see its path on the server
        raise DataError("the picture is gone from the server; drop it again") from error


class _Parts(NamedTuple):
    """What the page consists of, in the order in which it stands there."""

    picture: gr.Image
    gallery: gr.Gallery
    question: gr.Textbox
    ask: gr.Button
    note: gr.HTML
    answers: gr.Label
    people: gr.Label
    looked: gr.Image
    suggestions: gr.Radio


def build_page(model: Model, examples: Examples, folder: Path) -> gr.Blocks:
    """The page, not yet served: launch it with OPTIONS. Small copies of the examples' pictures go into `folder`."""
    page = Page(model, examples, folder)
    with gr.Blocks(title="Ask about a picture", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.HTML(_header(model), elem_id="about")
        with gr.Row(elem_id="page"):
            with gr.Column(visible=model.sees_pictures, elem_id="left" if model.sees_pictures else None):
                left = _picture(), _gallery(page)
            with gr.Column(elem_id="right"):
                right = *_asking(), *_answers(), _suggestions(page)
        _connect(page, _Parts(*left, *right))
    return blocks


def _picture() -> gr.Image:
    picture = gr.Image(
        label="Picture",
        type="filepath",
        sources=["upload", "clipboard"],
        buttons=[],
        height=400,
        elem_id="picture",
    )
    picture.preprocess = _uploaded
    return picture


def _gallery(page: Page) -> gr.Gallery:
    return gr.Gallery(
        list(page.shown.values()),
        label=f"Pictures of {page.model.origin.parameters['dataset']}",
        columns=4,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        visible=bool(page.shown),
        elem_id="gallery",
    )


def _asking() -> tuple[gr.Textbox, gr.Button]:
    return (
        gr.Textbox(
            label="Question", placeholder="What colour is the bus?", max_length=LONGEST, elem_id="question"
        ),
        gr.Button("Ask", variant="primary", elem_id="ask"),
    )


def _answers() -> tuple[gr.HTML, gr.Label, gr.Label, gr.Image]:
    return (
        gr.HTML(elem_id="note"),
        gr.Label(label="Answers", show_heading=False, buttons=[], elem_id="answers"),
        gr.Label(show_heading=False, buttons=[], visible=False, elem_id="people"),
        gr.Image(label="Where it looked", interactive=False, buttons=[], visible=False, elem_id="looked"),
    )


def _suggestions(page: Page) -> gr.Radio:
    common = list(page.examples.common[:SUGGESTED])
    return gr.Radio(common, label="Suggestions", visible=bool(common), elem_id="suggestions")


def _connect(page: Page, parts: _Parts) -> None:
    """What follows when the visitor does something."""
    chosen, suggestions = gr.State(None), parts.suggestions
    told = [parts.answers, parts.note, parts.people, parts.looked]
    private: dict[str, Any] = {"api_visibility": "private"}
    answering = (page.answer, [parts.picture, chosen, parts.question], told)
    model = private | {"concurrency_id": "model"}
    typed = [event(*answering, **model) for event in (parts.ask.click, parts.question.submit)]
    picked = suggestions.input(lambda text: text, suggestions, parts.question, **private)
    # An answer that is still to come is about the picture that was there.
    changed = private | {"cancels": [*typed, picked.then(*answering, **model)]}
    parts.picture.input(page.own, None, [chosen, suggestions, *told], **changed)
    parts.gallery.select(page.pick, None, [parts.picture, chosen, suggestions, *told], **changed)
