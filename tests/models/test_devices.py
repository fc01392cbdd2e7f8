"""Which processors are used, on machines that this one is not: what torch and Linux say is made up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from data.base.errors import ModelError
from models import devices
from models.backbones.frames import Frame
from models.backbones.load import Backbone
from models.devices import cpu_threads, exact, logical_cores, other_gpus, pick_device

H100, T400 = "NVIDIA H100", "NVIDIA T400"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the machine's GPUs, to be filled."""
    names: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    return names


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_the_gpus_of_the_first_ones_model_are_used_and_the_others_named(gpus: list[str], device: str) -> None:
    gpus += [H100]
    assert other_gpus(device) == ([], "")
    gpus += [T400, H100, "NVIDIA A2"]
    others, line = other_gpus(device)
    assert others == ["cuda:2"]
    assert line.startswith(
        "left out, as unlike cuda:0 (NVIDIA H100): cuda:1 (NVIDIA T400), cuda:3 (NVIDIA A2)."
    )
    assert "CUDA_VISIBLE_DEVICES" in line and "[compute] device" in line


def test_gpus_that_are_named_by_number_are_used_as_they_are(gpus: list[str]) -> None:
    gpus += [H100, T400, T400]
    assert pick_device("cuda:1,cuda:2") == torch.device("cuda", 1)
    assert other_gpus("cuda:1,cuda:2") == (["cuda:2"], "")
    assert pick_device("cuda:2") == torch.device("cuda", 2) and other_gpus("cuda:2") == ([], "")


def test_a_gpu_that_is_not_there_is_named_with_what_hides_it(
    gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus += [H100]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with pytest.raises(
        ModelError, match=r"device = cuda:1: torch .* sees 1 GPU.*CUDA_VISIBLE_DEVICES=5 hides"
    ):
        pick_device("cuda:1,cuda:0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(ModelError, match=r"sees 1 GPU\(s\) here\. Set device = cpu"):
        pick_device("cuda:1")
    with pytest.raises(ModelError, match="expected auto, cpu, cuda, cuda:N"):
        pick_device("gpu")


@pytest.mark.parametrize(
    "own, files, cores",
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "350000 100000"}, 3),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/slurm/job_7", {"slurm/cpu.max": "600000 100000", "slurm/job_7/cpu.max": "400000 100000"}, 4),
        ("0::/slurm/job_7", {"slurm/cpu.max": "200000 100000", "slurm/job_7/cpu.max": "max 100000"}, 2),
        ("0::/not/seen/from/here", {"cpu.max": "500000 100000"}, 5),
        (
            "4:cpu,cpuacct:/a\n0::/",
            {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("4:cpu,cpuacct:/a\n0::/", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("3:cpuset:/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_cores_are_those_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], cores: int
) -> None:
    """Eight logical cores of four physical ones, less what a cgroup or one above it takes."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text(own + "\n")
    monkeypatch.setattr(devices, "_CGROUPS", tmp_path)
    monkeypatch.setattr(devices, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(devices, "_allowed", lambda: set(range(8)))
    monkeypatch.setattr(devices, "_core", lambda cpu: str(cpu // 2))
    assert logical_cores() == cores and cpu_threads() == min(4, cores)


class Seen(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        cudnn = torch.backends.cudnn
        self.flags = cudnn.enabled, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
        self.matmul = torch.backends.cuda.matmul.allow_tf32
        return [x.flatten(1)]


def test_every_call_of_a_backbone_computes_float32_as_float32_and_leaves_the_program_s_settings() -> None:
    """`ask` and extraction call the same backbone, whatever the program around it has set."""
    seen, one, matmul = Seen(), torch.ones(1), torch.backends.cuda.matmul
    backbone = Backbone("x", {"y": (12,)}, Frame(2), torch.device("cpu"), "float32", "", seen, one, one)
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
            backbone(torch.zeros((1, 3, 2, 2), dtype=torch.uint8))
            assert seen.flags == (True, False, False, True) and seen.matmul is False
            with pytest.raises(RuntimeError), exact():
                raise RuntimeError
            cudnn = torch.backends.cudnn
            assert cudnn.allow_tf32 and cudnn.benchmark and not cudnn.deterministic and matmul.allow_tf32
    finally:
        matmul.allow_tf32 = before
