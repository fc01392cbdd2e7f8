"""Questions about the scenes of the sample, and ten people who answer them.

Every answer depends on the picture: a question is asked as often about pictures where the answer is yes as where it
is no, and colours, shapes, counts and sides are all equally common. What one can guess without looking is little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from data.sample.scenes import COLOURS, MOST, SHAPES, Scene, Thing

HUMANS = 10
CHOICES = 18
_POPULAR = ("yes", "no", "2", "1", "white", "3", "red", "blue", "4", "green")
"""The ten that VQA v1 offers with every question: the commonest answers of its training split."""

_NUMBERS = ("0", "1", "2", "3", "4", "5", "6")
_SIDES = ("left", "right")
_OTHER = ("gray", "pink", "brown", "oval", "rectangle", "diamond", "middle", "nothing", "unknown")
ANSWERS = ("yes", "no", *_NUMBERS, *COLOURS, *SHAPES, *_SIDES, *_OTHER)


@dataclass(frozen=True)
class SceneQuestion:
    """A question with its answer, and what people who look carelessly say instead."""

    question: str
    question_type: str
    answer_type: str
    answer: str
    slips: tuple[str, ...]


def ask(scene: Scene, count: int, rng: Random) -> list[SceneQuestion]:
    """Up to `count` different questions about a scene, kinds taking turns."""
    kinds = _kinds(scene)
    questions: dict[str, SceneQuestion] = {}
    for turn in range(4 * count):  # the same question may come up again: then another is tried
        question = kinds[turn % len(kinds)](scene, rng)
        questions.setdefault(question.question, question)
        if len(questions) == count:
            break
    return list(questions.values())


def _kinds(scene: Scene) -> list[Callable[[Scene, Random], SceneQuestion]]:
    """What is asked about a scene, in turns; a third is yes or no."""
    if scene.pair:
        return [_colour_of, _shape_at, _is_there, _colour_at, _side, _is_it]
    if len(scene.things) == 1:
        return [_colour_of, _side, _is_there, _shape, _colour_of, _how_many, _is_it, _side, _shape]
    return [_colour_of, _how_many, _is_there, _shape, _how_many, _more_than, _colour_of, _shape, _is_it]


def _colour_of(scene: Scene, rng: Random) -> SceneQuestion:
    thing = _one_of(scene, rng)
    many = not scene.pair and len(scene.things) > 1
    if many:
        forms = [
            ("What color are the {}?", "what color are the"),
            ("What color are these {}?", "what color are"),
        ]
        forms.append(("What is the color of the {}?", "what is the color of the"))
    else:
        forms = [
            ("What color is the {}?", "what color is the"),
            ("What is the color of the {}?", "what is the color of the"),
        ]
        forms += [
            ("What colour is the {}?", "none of the above"),
            ("What color is this {}?", "what color is this"),
        ]
    form, kind = rng.choice(forms)
    question = form.format(_plural(thing.shape) if many else thing.shape)
    return SceneQuestion(question, kind, "other", thing.colour, _others(COLOURS, thing.colour))


def _colour_at(scene: Scene, rng: Random) -> SceneQuestion:
    thing = rng.choice(scene.things)
    question = f"What color is the shape on the {thing.side}?"
    return SceneQuestion(question, "what color is the", "other", thing.colour, _others(COLOURS, thing.colour))


def _shape(scene: Scene, rng: Random) -> SceneQuestion:
    shape, colour = scene.things[0].shape, scene.things[0].colour
    endings = ("is this", "is in the picture", "do you see", f"is {colour}")
    return SceneQuestion(
        f"What shape {rng.choice(endings)}?", "what shape", "other", shape, _others(SHAPES, shape)
    )


def _shape_at(scene: Scene, rng: Random) -> SceneQuestion:
    thing = rng.choice(scene.things)
    question = f"What shape is on the {thing.side}?"
    return SceneQuestion(question, "what shape", "other", thing.shape, _others(SHAPES, thing.shape))


def _how_many(scene: Scene, rng: Random) -> SceneQuestion:
    thing, count = scene.things[0], len(scene.things)
    what = rng.choice(("shapes", _plural(thing.shape), f"{thing.colour} {_plural(thing.shape)}"))
    ending = rng.choice(("are there", "are in the picture", "do you see"))
    near = (str(count - 1), str(count + 1)) if count > 1 else ("2",)
    return SceneQuestion(f"How many {what} {ending}?", "how many", "number", str(count), near)


def _more_than(scene: Scene, rng: Random) -> SceneQuestion:
    few, plural = rng.randint(2, MOST - 1), _plural(scene.things[0].shape)
    question = f"Are there more than {('two', 'three')[few - 2]} {plural}?"
    return _yes_no(question, "are there", len(scene.things) > few)


def _is_there(scene: Scene, rng: Random) -> SceneQuestion:
    thing, present = _one_of(scene, rng), rng.random() < 0.5
    if rng.random() < 0.5:
        what = (
            thing.shape if present else rng.choice(_absent(SHAPES, [other.shape for other in scene.things]))
        )
    else:
        colour = (
            thing.colour
            if present
            else rng.choice(_absent(COLOURS, [other.colour for other in scene.things]))
        )
        what = f"{colour} {rng.choice(('shape', 'thing'))}"
    ending = rng.choice(("", " in the picture", " here"))
    article = "an" if what[0] in "aeiou" else "a"
    return _yes_no(f"Is there {article} {what}{ending}?", f"is there {article}", present)


def _is_it(scene: Scene, rng: Random) -> SceneQuestion:
    thing, right = _one_of(scene, rng), rng.random() < 0.5
    colour = thing.colour if right else rng.choice(_absent(COLOURS, [thing.colour]))
    many = not scene.pair and len(scene.things) > 1
    be, what = ("Are", _plural(thing.shape)) if many else ("Is", thing.shape)
    return _yes_no(f"{be} the {what} {colour}?", f"{be.lower()} the", right)


def _side(scene: Scene, rng: Random) -> SceneQuestion:
    thing = _one_of(scene, rng)
    forms = (
        (f"Where is the {thing.shape}, left or right?", "where is the"),
        (f"Which side is the {thing.shape} on?", "which"),
    )
    question, kind = rng.choice(forms)
    return SceneQuestion(question, kind, "other", thing.side, (*_others(_SIDES, thing.side), "middle"))


def _yes_no(question: str, kind: str, yes: bool) -> SceneQuestion:
    return SceneQuestion(question, kind, "yes/no", "yes" if yes else "no", ("no" if yes else "yes",))


def _one_of(scene: Scene, rng: Random) -> Thing:
    return rng.choice(scene.things)


def _plural(shape: str) -> str:
    return shape + ("es" if shape.endswith("s") else "s")


def _others(all_of: Sequence[str] | dict[str, tuple[int, int, int]], answer: str) -> tuple[str, ...]:
    return tuple(name for name in all_of if name != answer)


def _absent(all_of: Sequence[str] | dict[str, tuple[int, int, int]], present: list[str]) -> list[str]:
    return [name for name in all_of if name not in present]


def answers_of_ten(question: SceneQuestion, rng: Random) -> list[str]:
    """Ten answers in free text: up to three people slip, up to two write it in another way.

    So at least five write exactly the consensus answer and at most three anything else.
    """
    slips = rng.choices((0, 1, 2, 3), (60, 20, 12, 8))[0]
    said = [rng.choice(question.slips) for _ in range(slips)]
    variants = rng.choices((0, 1, 2), (70, 22, 8))[0]
    said += [rng.choice(_spellings(question.answer)) for _ in range(variants)]
    said += [question.answer] * (HUMANS - len(said))
    rng.shuffle(said)
    return said


def _spellings(answer: str) -> list[str]:
    """Other ways to write an answer that the official accuracy treats as equal to it."""
    words = {"0": "none", "1": "one", "2": "two", "3": "three", "4": "four"}
    if answer in words:
        return [words[answer], words[answer].capitalize(), f"{answer}."]
    spellings = [answer.capitalize(), f"{answer}.", f"{answer}!"]
    return spellings + [f"a {answer}", f"the {answer}"] * (answer in SHAPES)


def choices(question: SceneQuestion, humans: Sequence[str], rng: Random) -> list[str]:
    """The 18 of multiple choice: the right one, what people said, the ten popular ones, and any others."""
    plausible = [said for said in humans if said in ANSWERS]
    rest = rng.sample(ANSWERS, len(ANSWERS))
    picked = list(dict.fromkeys([question.answer, *plausible, *_POPULAR, *rest]))[:CHOICES]
    rng.shuffle(picked)
    return picked
