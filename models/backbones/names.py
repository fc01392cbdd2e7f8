"""The backbones by name: which weights, which layers, what shape a picture becomes. Standard library only.

To add a backbone, add an entry here (docs/features.md); tests/models/backbones/test_load.py then wants its row.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.base import words
from data.base.errors import ModelError


@dataclass(frozen=True)
class Layer:
    """What one layer yields for one picture.

    `node` is torchvision's name of the place in the network, `shape` what is stored for a picture (grids are
    rows, columns, channels), `parameters` the count that runs up to there.
    """

    node: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Entry:
    """A backbone: the member of torchvision's weights enum that goes with it, and its layers.

    The enum's member also says how pixels are normalised, so weights and transform can't be mismatched.
    The first layer is the default.
    """

    weights: str
    layers: dict[str, Layer]


# VGG's fc6 and fc7 are taken after their ReLU, as in Simonyan & Zisserman (2014) and the VQA baselines;
# conv5_3 too, and pool5 after its pooling. ResNet's `pooled` is the mean over the 7 x 7 grid.
# VGG16_Weights.IMAGENET1K_FEATURES is not offered: its fully connected layers are NaN.
BACKBONES: dict[str, Entry] = {
    "vgg16": Entry(
        "IMAGENET1K_V1",
        {
            "fc7": Layer("classifier.4", (4096,), 134_260_544),
            "fc6": Layer("classifier.1", (4096,), 117_479_232),
            "conv5_3": Layer("features.29", (14, 14, 512), 14_714_688),
            "pool5": Layer("features.30", (7, 7, 512), 14_714_688),
        },
    ),
    "vgg19": Entry(
        "IMAGENET1K_V1",
        {
            "fc7": Layer("classifier.4", (4096,), 139_570_240),
            "fc6": Layer("classifier.1", (4096,), 122_788_928),
            "conv5_4": Layer("features.35", (14, 14, 512), 20_024_384),
            "pool5": Layer("features.36", (7, 7, 512), 20_024_384),
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


def default_layer(name: str) -> str:
    """The layer taken when none is named; ModelError where the backbone is unknown or has no default."""
    check_backbone(name)
    if name not in BACKBONES:
        raise ModelError(
            f"layer: backbone {name} has no default layer. Name one of torchvision's nodes, for example "
            "flatten; a wrong name is answered with the valid ones."
        )
    return next(iter(BACKBONES[name].layers))


def check_backbone(name: str) -> None:
    """Raise ModelError, with the nearest name, unless `name` is in BACKBONES or in TORCHVISION."""
    if name not in BACKBONES and name not in TORCHVISION:
        raise ModelError(
            f"backbone: no '{name}'. {nearest(name, [*BACKBONES, *TORCHVISION])} In the table: "
            f"{', '.join(BACKBONES)}; beside it: {', '.join(sorted(TORCHVISION))}."
        )


def find_layer(name: str, layer: str) -> Layer | None:
    """The table's entry for a layer; None where the name can only be one of torchvision's nodes.

    Such a name is checked by models.backbones.load.stored_shape, which needs torch.
    """
    check_backbone(name)
    return BACKBONES[name].layers.get(layer) if name in BACKBONES else None


def check_weights(weights: str) -> None:
    """Raise ModelError unless `weights` is pretrained, random:SEED, or names a .pth or .safetensors file."""
    kind, _, seed = weights.partition(":")
    known = weights == "pretrained" or weights.endswith((".pth", ".safetensors"))
    if not known and not (kind == "random" and seed.isdigit()):
        raise ModelError(
            f"weights: '{weights}' is none of: pretrained, random:SEED (a whole number), "
            "the path of a .pth or .safetensors file."
        )


def nearest(name: str, valid: list[str]) -> str:
    """'Did you mean X?' where something in `valid` is close, else nothing."""
    close = words.nearest(name, valid, cutoff=0.5)
    return f"Did you mean '{close}'?" if close else ""
