"""The parts of bench.gpu_check that measure speed and memory. What they need is imported when they run."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gpu_report import Report
from bench.gpu_sizes import EXTRACTION, NETWORK, PREDICTION, SCRIPT, TRAINING, Place
from bench.turns import Turn, for_seconds, in_turns, ratios, spread

if TYPE_CHECKING:
    from bench.attention_turns import Asked
    from bench.training_ways import Arrays

ATTENDS = "saaa"
Ways = dict[str, tuple[tuple[str, ...], Callable[[], Turn]]]
"""By name, what each needs and what makes it ready; the first is compared with the others."""


def machine(report: Report, at: Place) -> None:
    """The device's name, and what decides the figures beside it. Raises ModelError where it is not there."""
    import torch

    from bench.extraction_ways import cores
    from models.devices import pick_device, pick_precision, processor_name

    device = pick_device(at.device)
    facts = [f"torch {torch.__version__}", f"Python {platform.python_version()}"]
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        facts += [f"cuDNN {torch.backends.cudnn.version()}", f"{memory / 2**30:.0f} GiB"]
    facts += [f"{cores()} cores", pick_precision(device)]
    report.add(processor_name(device), ", ".join(facts))


def extraction(report: Report, at: Place) -> None:
    """End to end, the network alone, and a plain script under autocast."""
    started: list[float] = []
    ways: Ways = {
        "end to end": (EXTRACTION, lambda: _end_to_end(at, started)),
        "the network alone": (NETWORK, lambda: _network(at)),
        "a plain script": (SCRIPT, lambda: _script(at)),
    }
    compare(report, at, f"extraction with {at.sizes.backbone}", ways, "pictures/s")
    if started:
        report.add("from a turn's start to its first batch (not in the rate)", f"{spread(started, 1)} s")


def _network(at: Place) -> Turn:
    import torch

    from bench.extraction_ways import network
    from models.devices import pick_device

    device = pick_device(at.device)
    batch = at.sizes.batch or (128 if device.type == "cuda" else 16)
    count = 4 * batch  # so that a GPU is waited for once in four batches
    pixels = torch.randint(0, 256, (count, 3, 224, 224), dtype=torch.uint8)
    return for_seconds(network(_job(at, None), pixels, batch), count, at.sizes.seconds)


def _end_to_end(at: Place, started: list[float]) -> Turn:
    from bench.extraction_ways import steadily
    from data.pictures.image_sets import open_images

    return steadily(_job(at, open_images(_pictures(at))), at.sizes.seconds, started)


def _script(at: Place) -> Turn:
    from bench.extraction_ways import Files, plain
    from models.devices import pick_device

    paths = sorted(_pictures(at).iterdir())
    out, device = at.folder / "plain.h5", pick_device(at.device)
    return plain(Files(paths), len(paths), out, device, at.sizes.backbone, at.sizes.layer, at.sizes.seconds)


def _job(at: Place, images: Any) -> Any:
    from bench.extraction_ways import make_extraction

    how = {"batch": at.sizes.batch, "shard": at.sizes.shard}
    return make_extraction(images, at.folder, at.device, "auto", at.sizes.backbone, at.sizes.layer, **how)


def _pictures(at: Place) -> Path:
    from bench.pictures import make_folder

    folder = at.folder / "pictures"
    return (
        folder if folder.exists() else make_folder(folder, at.sizes.pictures, at.sizes.width, at.sizes.height)
    )


def training(report: Report, at: Place) -> None:
    """Ours, and the original's loop in plain torch: nn.LSTM over all 26 steps, under autocast."""
    ways: Ways = {
        "ours": (TRAINING, lambda: _ours(at)),
        "a plain loop": (PREDICTION, lambda: _plain(at)),
    }
    compare(report, at, "training", ways, "samples/s")


def _ours(at: Place) -> Turn:
    from bench.training_ways import architecture, ours

    arrays, model = _arrays(at), architecture(at.sizes.hidden, at.sizes.joint)
    return lasting(lambda count: ours(arrays, count, model, at.device), at)


def _plain(at: Place) -> Turn:
    from bench.training_ways import plain
    from models.devices import pick_device, pick_precision

    arrays, device = _arrays(at), pick_device(at.device)
    mixed = pick_precision(device) == "bfloat16"
    return lasting(lambda count: plain(arrays, count, at.sizes.hidden, at.sizes.joint, device, mixed), at)


def attention(report: Report, at: Place) -> None:
    """saaa by its recipe over 49 places, and its authors' loop in plain torch, under autocast."""
    ways: Ways = {
        "ours": (TRAINING, lambda: _attend(at)),
        "a plain loop": (PREDICTION, lambda: _attend_plainly(at)),
    }
    compare(report, at, f"training {ATTENDS}", ways, "samples/s")


def _attend(at: Place) -> Turn:
    from bench.attention_turns import train_by_recipe

    asked, units = _asked(at), at.sizes.units

    def make(count: int) -> Turn:
        return lambda: train_by_recipe(ATTENDS, asked, at.device, limit=count, hidden=units)

    return lasting(make, at)


def _attend_plainly(at: Place) -> Turn:
    from bench.attention_turns import plain_epoch
    from bench.attention_ways import saaa
    from models.devices import pick_device, pick_precision

    device = pick_device(at.device)
    mixed = pick_precision(device) == "bfloat16"
    make = partial(saaa, channels=at.sizes.channels, hidden=at.sizes.units or 1024, mixed=mixed)
    return lasting(lambda count: plain_epoch(ATTENDS, _asked(at), str(device), make, count), at)


def prediction(report: Report, at: Place) -> None:
    """Ours, each distinct question once."""
    compare(report, at, "prediction", {"ours": (PREDICTION, lambda: _predict(at))}, "questions/s")


def _predict(at: Place) -> Turn:
    from bench.peers import make_embeddings
    from bench.training_ways import architecture
    from models.classifiers.build import build
    from models.prediction import predict

    a, module = _arrays(at), build(architecture(at.sizes.hidden, at.sizes.joint), make_embeddings())

    def turn(count: int) -> Turn:
        part = a.tokens[:count], a.rows[:count], a.features
        return for_seconds(lambda: _nothing(predict(module, *part, device=at.device)), count, 0)

    return lasting(turn, at)


def _nothing(result: object) -> None:
    """Ignore a result."""


@cache
def _asked(at: Place) -> Asked:
    from bench.attention_turns import make_asked, number

    shape = (7, 7, at.sizes.channels)
    return make_asked(at.sizes.questions, at.sizes.grids, shape, number(ATTENDS, "answers"))


@cache
def _arrays(at: Place) -> Arrays:
    from bench.training_ways import make_arrays

    return make_arrays(at.folder, at.sizes.rows, at.sizes.questions)


def lasting(make: Callable[[int], Turn], at: Place) -> Turn:
    """A turn over as many questions as take about a turn's time, found by trying ten batches twice."""
    from bench.peers import BATCH

    most = at.sizes.questions
    trial = make(min(10 * BATCH, most))
    trial()  # warms up
    return make(min(most, max(10, int(trial() * at.sizes.seconds) // BATCH) * BATCH))


def compare(report: Report, at: Place, what: str, ways: Ways, unit: str) -> None:
    """Turns of all ways that are possible here; rates with the most memory that each held, and ratios."""
    turns: dict[str, Turn] = {}
    memory: dict[str, str] = {}
    for name, (needs, make) in ways.items():

        def prepare(name: str = name, make: Callable[[], Turn] = make) -> None:
            turns[name], memory[name] = _ready(make, at.device)

        report.attempt(f"{what}: {name}", needs, prepare)
    rates = in_turns(turns, at.sizes.rounds, at.until)
    for name, measured in rates.items():
        report.add(f"{what}: {name}", f"{spread(measured, 0)} {unit}", memory[name])
    first, *others = ways
    for name in others:
        if first in rates and name in rates:
            report.add(f"{first} / {name}", spread(ratios(rates[first], rates[name])))


def _ready(make: Callable[[], Turn], name: str) -> tuple[Turn, str]:
    """A warmed-up turn, and the most memory that it added to what others hold on the GPU."""
    import torch

    from models.devices import pick_device

    device = pick_device(name)
    if device.type != "cuda":
        turn = make()
        turn()
        return turn, ""
    torch.cuda.init()  # else its statistics are refused
    held = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    turn = make()
    turn()
    return turn, f"{(torch.cuda.max_memory_allocated(device) - held) / 1e9:.2f} GB"
