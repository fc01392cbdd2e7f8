"""What decides that an artifact is kept: whole, of this key, and made from inputs as they are now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import artifacts
from tasks.contract.artifacts import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from tasks.contract.manifest import Manifest

    class Made(Protocol):
        """What is asked of a stage."""

        @property
        def path(self) -> Path: ...
        @property
        def fingerprint(self) -> str: ...
        @property
        def upstream(self) -> Mapping[str, Made]: ...
        def get_task_family(self) -> str: ...


def state_of(stage: Made, seen: dict[Path, State]) -> State:
    """As `artifacts.inspect`, and 'stale' where an input that still exists is not what this was made from.

    Looks at everything upstream, because Luigi stops at the first complete task. An input that is gone was
    pruned: nothing is stale because of that. `seen` shares the answers within one walk.
    """
    if stage.path not in seen:
        seen[stage.path] = _look(stage, seen)
    return seen[stage.path]


def _look(stage: Made, seen: dict[Path, State]) -> State:
    state = artifacts.inspect(stage.path, stage.get_task_family())
    if state.status != "complete" or state.manifest is None:
        return state
    if state.manifest.key.fingerprint != stage.fingerprint:
        return State("damaged", "damaged: manifest.json is of another artifact", state.manifest)
    for name, needed in stage.upstream.items():
        if why := _other_input(name, state.manifest, state_of(needed, seen)):
            return State("stale", why, state.manifest)
    return state


def _other_input(name: str, manifest: Manifest, above: State) -> str:
    """Why what is upstream now is not what the manifest says; "" where it is, or is gone."""
    if above.status in ("damaged", "stale"):
        return f"input {name} must be rebuilt"
    recorded = manifest.inputs.get(name)
    other = above.manifest is not None and (recorded is None or above.manifest.digest != recorded.digest)
    return f"input {name} rebuilt, with other bytes" if other else ""
