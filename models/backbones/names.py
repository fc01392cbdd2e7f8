"""The backbones by name: which weights, which layers, what shape a picture becomes. Standard library only.

To add a backbone, add an entry here (docs/features.md); tests/models/backbones/test_load.py then wants its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from data.base import words
from data.base.errors import ModelError

SMALLEST = 32
"""The fewest rows and columns of pixels that the table's networks take."""
BATCH = {"cpu": 16, "cuda": 128}
"""Pictures at a time: a CPU gains nothing beyond 16, a GPU wants more to be busy, and may have room for fewer."""


@dataclass(frozen=True)
class Layer:
    """What one layer yields for one picture.

    `node` is torchvision's name of the place in the network, `shape` what is stored for a picture of the network's own
    size (grids are rows, columns, channels), `parameters` the count that runs up to there. `read`: of a node that
    yields tokens, "class" takes the first, which stands for the picture, and "places" the others, as a grid.
    """

    node: str
    shape: tuple[int, ...]
    parameters: int
    read: str = ""


@dataclass(frozen=True)
class Entry:
    """A backbone: the member of torchvision's weights enum that goes with it, and its layers.

    The enum's member also says how pixels are normalised, so weights and transform can't be mismatched. `size` and
    `interpolation` are its own, stated here too, where nothing imports torch. The first layer is the default.
    `other_sizes`: whether it can be shown pictures of another size. Every network is shown the whole picture.
    """

    weights: str
    layers: dict[str, Layer]
    size: int = 224
    interpolation: str = "bilinear"
    other_sizes: bool = True


# VGG's fc6 and fc7 are taken after their ReLU, as in Simonyan & Zisserman (2014) and the VQA baselines;
# conv5_3 too, and pool5 after its pooling. ResNet's `pooled` is the mean over the 7 x 7 grid.
# VGG16_Weights.IMAGENET1K_FEATURES is not offered: its fully connected layers are NaN.
LARGEST_SEED = 2**64 - 1
"""The largest that torch takes."""

BACKBONES: dict[str, Entry] = {
    "vgg16": Entry(
        "IMAGENET1K_V1",
        {
            "fc7": Layer("classifier.4", (4096,), 134_260_544),
            "fc6": Layer("classifier.1", (4096,), 117_479_232),
            "pool5": Layer("features.30", (7, 7, 512), 14_714_688),
            "conv5_3": Layer("features.29", (14, 14, 512), 14_714_688),
        },
    ),
    "vgg19": Entry(
        "IMAGENET1K_V1",
        {
            "fc7": Layer("classifier.4", (4096,), 139_570_240),
            "fc6": Layer("classifier.1", (4096,), 122_788_928),
            "pool5": Layer("features.36", (7, 7, 512), 20_024_384),
            "conv5_4": Layer("features.35", (14, 14, 512), 20_024_384),
        },
    ),
    "resnet152": Entry(
        "IMAGENET1K_V2",
        {
            "pooled": Layer("flatten", (2048,), 58_143_808),
            "grid": Layer("layer4", (7, 7, 2048), 58_143_808),
        },
    ),
    "resnet50": Entry(
        "IMAGENET1K_V2",
        {
            "pooled": Layer("flatten", (2048,), 23_508_032),
            "grid": Layer("layer4", (7, 7, 2048), 23_508_032),
        },
    ),
    "resnext101_32x8d": Entry(
        "IMAGENET1K_V2",
        {
            "pooled": Layer("flatten", (2048,), 86_742_336),
            "grid": Layer("layer4", (7, 7, 2048), 86_742_336),
        },
    ),
    "convnext_base": Entry(
        "IMAGENET1K_V1",
        {
            "pooled": Layer(
                "classifier.1", (1024,), 87_566_464
            ),  # behind the norm that its own classifier reads
            "grid": Layer("features", (7, 7, 1024), 87_564_416),
        },
    ),
    "resnext101_64x4d": Entry(
        "IMAGENET1K_V1",
        {
            "pooled": Layer("flatten", (2048,), 81_406_272),
            "grid": Layer("layer4", (7, 7, 2048), 81_406_272),
        },
    ),
    "convnext_large": Entry(
        "IMAGENET1K_V1",
        {
            "pooled": Layer("classifier.1", (1536,), 196_230_336),
            "grid": Layer("features", (7, 7, 1536), 196_227_264),
        },
    ),
    "efficientnet_v2_l": Entry(
        "IMAGENET1K_V1",
        {
            "pooled": Layer("flatten", (1280,), 117_234_272),
            "grid": Layer("features", (15, 15, 1280), 117_234_272),
        },
        480,
        "bicubic",
    ),
    # The weights that SWAG trained on hashtags: not for commercial use (the catalog has the licence).
    "regnet_y_16gf": Entry(
        "IMAGENET1K_SWAG_E2E_V1",
        {
            "pooled": Layer("flatten", (3024,), 80_565_140),
            "grid": Layer("trunk_output", (12, 12, 3024), 80_565_140),
        },
        384,
        "bicubic",
    ),
    "swin_v2_b": Entry(
        "IMAGENET1K_V1",
        {
            "pooled": Layer("flatten", (1024,), 86_905_848),
            "grid": Layer("permute", (8, 8, 1024), 86_905_848),
        },
        256,
        "bicubic",
    ),
    # `pooled` is the class token, which their own classifiers read. torchvision's take no other size; timm's do.
    "vit_b_16": Entry(
        "IMAGENET1K_V1",
        {
            "pooled": Layer("encoder.ln", (768,), 85_798_656, "class"),
            "grid": Layer("encoder.ln", (14, 14, 768), 85_798_656, "places"),
        },
        other_sizes=False,
    ),
    # SWAG's: not for commercial use. Its trunk was not tuned to ImageNet's classes; 85.15 with a linear classifier,
    # where the weights trained on ImageNet alone reach 79.66.
    "vit_l_16": Entry(
        "IMAGENET1K_SWAG_LINEAR_V1",
        {
            "pooled": Layer("encoder.ln", (1024,), 303_301_632, "class"),
            "grid": Layer("encoder.ln", (14, 14, 1024), 303_301_632, "places"),
        },
        interpolation="bicubic",
        other_sizes=False,
    ),
}

# torchvision's classification models, whose layers go by the names of their nodes. Written out so that a
# mistyped name is seen before torch is imported; a test compares the list with torchvision's own.
TORCHVISION = frozenset(
    """
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161
    densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
    efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l efficientnet_v2_m
    efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3
    mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf
    regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf
    regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101
    resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext101_64x4d resnext50_32x4d
    shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0
    squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16
    vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2
    wide_resnet50_2
    """.split()  # noqa: SIM905
)


BICUBIC = frozenset(
    """
    efficientnet_b0 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
    efficientnet_b7 maxvit_t regnet_y_128gf swin_b swin_s swin_t swin_v2_s swin_v2_t vit_h_14
    """.split()  # noqa: SIM905
)
"""Those outside the table whose pictures are resized so; a test compares them with torchvision's own."""

TIMM = "timm:"
"""What stands before the name of one of timm's networks."""
TIMM_LAYERS = ("pooled", "grid")
"""Every network of timm has these: one vector as timm pools, and its last places. The first is the default."""


def is_timm(name: str) -> bool:
    """Whether a backbone is timm's: models.backbones.timm_networks builds it."""
    return name.startswith(TIMM)


def interpolation(name: str) -> str:
    """bilinear or bicubic: how torchvision resizes this network's pictures. timm_networks knows it of timm's."""
    return (
        BACKBONES[name].interpolation if name in BACKBONES else "bicubic" if name in BICUBIC else "bilinear"
    )


def default_layer(name: str) -> str:
    """The layer taken when none is named; ModelError where the backbone is unknown or has no default."""
    check_backbone(name)
    if is_timm(name):
        return TIMM_LAYERS[0]
    if name not in BACKBONES:
        raise ModelError(
            f"layer: backbone {name} has no default layer. Name one of torchvision's nodes, for example "
            f"flatten; all of them: python -m pipeline backbones {name}"
        )
    return next(iter(BACKBONES[name].layers))


def check_backbone(name: str) -> None:
    """Raise ModelError, with the nearest name, unless `name` is torchvision's, or timm's where timm is installed.

    Which of timm's names there are is known to models.backbones.timm_networks, which needs torch.
    """
    if is_timm(name):
        if find_spec("timm") is None:
            raise ModelError(f"backbone: {name} needs timm: pip install -e '.[timm]'")
    elif name not in TORCHVISION:
        raise ModelError(
            f"backbone: no '{name}'. {nearest(name, sorted(TORCHVISION))} In the table: {', '.join(BACKBONES)}. "
            "All of torchvision's, and timm's: python -m pipeline backbones"
        )


def layers_of(name: str) -> dict[str, Layer]:
    """The table's layers of a backbone, the default first; none for one that is not in the table."""
    check_backbone(name)
    return BACKBONES[name].layers if name in BACKBONES else {}


def find_layer(name: str, layer: str) -> Layer | None:
    """The table's entry for a layer; None where the name can only be one of torchvision's nodes.

    Such a name is checked by models.backbones.load.stored_shape, which needs torch.
    """
    return layers_of(name).get(layer)


def settled_size(name: str, size: int | None) -> int | None:
    """The side of the pictures that a network is shown; None for its own. ModelError for one that is too small.

    Networks outside the table: models.backbones.load.stored_shape knows, which needs torch.
    """
    if size is None or name not in BACKBONES:
        return size
    entry = BACKBONES[name]
    if size < SMALLEST:
        raise ModelError(
            f"image size: {name} takes pictures of {SMALLEST} x {SMALLEST} and more, not {size} x {size}."
        )
    if size != entry.size and not entry.other_sizes:
        raise ModelError(
            f"image size: {name} can't take pictures of {size} x {size}; its own are {entry.size} x {entry.size}. "
            "timm's networks of this kind can: python -m pipeline backbones 'timm:vit*'"
        )
    return None if size == entry.size else size


def check_weights(weights: str) -> None:
    """Raise ModelError unless `weights` is pretrained, random:SEED, or names a .pth or .safetensors file."""
    kind, _, seed = weights.partition(":")
    known = weights == "pretrained" or weights.endswith((".pth", ".safetensors"))
    seeded = kind == "random" and seed.isdecimal() and len(seed) < 99 and int(seed) <= LARGEST_SEED
    if not known and not seeded:
        raise ModelError(
            f"weights: '{weights}' is none of: pretrained, random:SEED (a whole number up to {LARGEST_SEED}), "
            "the path of a .pth or .safetensors file."
        )


def nearest(name: str, valid: list[str]) -> str:
    """'Did you mean X?' where something in `valid` is close, else ""."""
    close = words.nearest(name, valid, cutoff=0.5)
    return f"Did you mean '{close}'?" if close else ""
