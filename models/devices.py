"""Where the arithmetic runs and in which precision: decided from what the processor reports."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from data.base.errors import ModelError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")


def pick_device(name: str = "auto") -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU where torch sees one.

    Raises ModelError for another name, or where the GPU asked for is not there.
    """
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and (kind != "cuda" or not number.isdigit())):
        raise ModelError(f"device = {name}: expected auto, cpu, cuda or cuda:N.")
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    count, index = torch.cuda.device_count(), int(number or 0)
    if index >= count:
        raise ModelError(
            f"device = {name}: torch {torch.__version__} sees {count} GPU(s) here. "
            "Set device = cpu (or auto), or install the driver and a CUDA build of torch."
        )
    return torch.device("cuda", index)


def pick_precision(device: torch.device, name: str = "auto") -> str:
    """`float32` or `bfloat16`; `auto` takes bfloat16 where `device` multiplies it natively.

    `getattr(torch, answer)` is the dtype. Raises ModelError for another name. Asking for bfloat16 by
    name is always granted: it is correct everywhere, and slow where the processor has to emulate it.
    """
    if name not in PRECISIONS:
        raise ModelError(f"precision = {name}: expected one of {', '.join(PRECISIONS)}.")
    if name != "auto":
        return name
    return "bfloat16" if native_bfloat16(device) else "float32"


def native_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 itself: AVX512_BF16, AMX, Arm's BF16; GPUs from Ampere on.

    Emulated bfloat16 is slower than float32, so a processor that merely supports the type does not count.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_cpuinfo("flags", "Features").split())


def processor_name(device: torch.device) -> str:
    """What computes, for manifests: the GPU's name, or the processor's with torch's vector level."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def _cpuinfo(*keys: str) -> str:
    """The first value that Linux gives for one of `keys` in /proc/cpuinfo; nothing on other systems."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def cpu_threads() -> int:
    """Physical cores that this process may use: its affinity less hyperthreads, capped by its cgroup's quota.

    A matrix product keeps a core's vector units full, so a hyperthread beside it only costs.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota()))


def gpus_here() -> int:
    """GPUs of this machine, at least 1, those included that are hidden from this process (Ray shows each actor one)."""
    known = Path("/proc/driver/nvidia/gpus")
    return max(1, torch.cuda.device_count(), len(list(known.iterdir())) if known.is_dir() else 0)


def _core(cpu: int) -> str:
    """The hyperthreads of the core that `cpu` belongs to, as Linux writes them; elsewhere the cpu itself."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return siblings.read_text().strip() if siblings.exists() else str(cpu)


def _quota() -> int:
    """Whole cores that cgroup v2 grants (containers), or a number beyond any machine's."""
    limit = Path("/sys/fs/cgroup/cpu.max")
    quota, _, period = limit.read_text().strip().partition(" ") if limit.exists() else ("max", "", "")
    return max(1, int(quota) // int(period)) if quota.isdigit() and period.isdigit() else 10**6


def use_threads(threads: int = 0) -> int:
    """Give the CPU's arithmetic `threads`, by default (0) a thread for each physical core; returns their number."""
    threads = threads or cpu_threads()
    torch.set_num_threads(threads)
    return threads


def reproducible(threads: int) -> None:
    """`threads` for the CPU's arithmetic, and a GPU whose results do not vary from run to run.

    float32 means float32 (no TF32), and cuDNN picks its algorithm by rule instead of by a race.
    """
    use_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
