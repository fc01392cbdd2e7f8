"""`python -m pipeline ask photo.jpg "What colour is the bus?"`: a trained model's answers about any picture."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.base.errors import DataError, ModelError
from data.base.files import check_output
from data.base.words import show, show_json
from pipeline.commands.ask_arguments import pictures_and_questions, read_picture
from tasks.library.model_origin import described

if TYPE_CHECKING:
    from tasks.library.trained_model import Answers, Model

RUN_HELP = "a trained run as `runs` lists it (default: the newest), or a file of export-model"
SIDE = 500  # pixels of a map's longer side


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", help="a picture file, a folder of pictures, or an http or https address")
    parser.add_argument(
        "questions",
        nargs="+",
        metavar="question",
        help="one or more, each in quotation marks; before them, more pictures",
    )
    parser.add_argument("--run", default="", help=RUN_HELP)
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="write a picture (PNG) of where the model looked: a row a question, a panel a glimpse",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def ask(flags: argparse.Namespace) -> int:
    """Print the likeliest answers to questions about pictures, with their probabilities; 1 where a picture failed."""
    from tasks.library.trained_model import load_model

    pictures, questions = pictures_and_questions([flags.picture, *flags.questions])
    if flags.map and len(pictures) > 1:
        raise DataError(f"--map draws one picture, and there are {len(pictures):,}: name one")
    model = load_model(flags.run)
    if flags.map:
        model.check_attends()
        check_output(flags.map)
    replies = _Replies(model, pictures, questions, flags.map)
    if flags.json:
        _show_json(replies)
    else:
        _show_text(replies)
    return 1 if replies.failed else 0


@dataclass
class _Replies:
    """The model's replies, picture by picture. `failed`: how many pictures gave none; with a single one that raises."""

    model: Model
    pictures: list[str]
    questions: list[str]
    map: Path | None
    failed: int = 0

    def __iter__(self) -> Iterator[tuple[str, list[Answers]]]:
        for name in self.pictures:
            try:
                picture = read_picture(name)
                replies = self.model.ask(picture, self.questions)
            except (DataError, ModelError) as error:
                if len(self.pictures) == 1:
                    raise
                self.failed += 1
                show(f"error: {error}", file=sys.stderr)
                continue
            if self.map:
                _draw(self.map, picture.content, replies)
            yield picture.name, replies


def _show_json(replies: _Replies) -> None:
    origin = replies.model.origin
    entries = [{"picture": name} | _plain(answers) for name, of_picture in replies for answers in of_picture]
    show_json({"run": origin.name, "notes": described(origin), "asked": entries})


def _show_text(replies: _Replies) -> None:
    show(replies.model.origin.name, *described(replies.model.origin))
    for name, of_picture in replies:
        show("", *([name] if len(replies.pictures) > 1 else []))
        for reply in of_picture:
            show(reply.question)
            for answer, share in reply.answers:
                show(f"  {share:6.1%}  {answer}")
            if reply.unknown_words:
                show(f"  (words that training did not have: {', '.join(reply.unknown_words)})")


def _plain(reply: Answers) -> dict[str, Any]:
    """As JSON has it: shares as numbers of four digits, and only where there are some."""
    plain = asdict(reply)
    attention = plain.pop("attention")
    return plain | ({} if attention is None else {"attention": attention.astype(float).round(4).tolist()})


def _draw(path: Path, content: bytes, replies: Sequence[Answers]) -> None:
    from data.base.files import replaced
    from data.pictures.attention_maps import attention_map, under_each_other

    rows = [
        attention_map(content, list(reply.attention), SIDE)
        for reply in replies
        if reply.attention is not None
    ]
    with replaced(path) as beside:
        under_each_other(rows).save(beside, "PNG")
