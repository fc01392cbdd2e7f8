"""The contract of every stage: where its artifact lies, when it is done, and how it is made.

Plain Luigi calls a task done when a file exists, which is how stale and half-written results are born. A Stage's
artifact is a folder whose path names everything that decides its content, written elsewhere and moved into place
by one rename, with a manifest that says what it holds and what it was made from. docs/cache.md explains the rules.

To write a stage: a sentence, the flags, `inputs` (what it needs), `build` (one call that fills a folder).
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import time
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import luigi

from data.base.errors import refusal
from data.base.garbage import give_back_memory
from data.base.temporary import temporary_name
from tasks.contract import artifacts, publish
from tasks.contract.artifacts import State
from tasks.contract.flagged import Flagged
from tasks.contract.manifest import MANIFEST, MANIFEST_VERSION, Input, Key, Manifest, digest
from tasks.contract.source import source_digest
from tasks.contract.staleness import state_of
from tasks.setup import settings
from tasks.setup.flag_kinds import Flag
from tasks.setup.stage_progress import StageProgress
from tasks.setup.user_errors import StageError

logger = logging.getLogger("luigi-interface")
PROCESS_STARTED = time.time()


class Stage(Flagged):
    """One artifact. Subclasses state flags, `inputs` and `build`; everything else is here."""

    version: ClassVar[int] = 1
    """Bump it when the same inputs and flags come to mean other bytes: old artifacts are then left aside."""
    named_by: ClassVar[tuple[str, ...]] = ("dataset",)
    """The flags whose values a person should read in the folder's name."""
    unit: ClassVar[str] = ""
    """What `progress` counts, in the plural."""
    extras: ClassVar[tuple[str, ...]] = ()
    """Patterns of files for people (plots, logs): size-checked, but no part of the digest."""
    contents: ClassVar[tuple[str, ...]] = ()
    """Patterns of all its files: by these `gc` knows an artifact that has lost its manifest."""

    rerun = luigi.BoolParameter(
        default=False, significant=False, positional=False, description="make this stage's artifact again"
    )

    def inputs(self) -> dict[str, Stage]:
        """The stages that this one reads, by their name in the manifest."""
        return {}

    def guards(self) -> list[Stage]:
        """The stages that must have succeeded before this one runs, though it reads nothing of theirs."""
        return []

    def build(self, folder: Path) -> dict[str, Any]:
        """Fill the new folder; return facts for the manifest (counts, rates, warnings).

        Work of hours may be done where a kill does not lose it: fill another folder and call `made_in`.
        """
        raise NotImplementedError

    def made_in(self, folder: Path, hashes: dict[str, str]) -> None:
        """Let a folder on the artifact's file system be the artifact; `hashes` of its files, where known, by name."""
        self._made = folder, hashes

    def keeps_work(self) -> bool:
        """Whether unfinished work is still of use once the artifact is in its place; if not, it is removed then."""
        return False

    def identity(self) -> dict[str, Any]:
        """What else decides the content: a pinned sha256 of something from outside."""
        return {}

    def costs(self) -> dict[str, int]:
        """For `plan`: bytes to `download` and of `disk` that building would take, as far as known; `unsized`: files to
        download of which nobody knows the size."""
        return {}

    def room(self) -> int:
        """Bytes that must be free before `build` begins: its costs, without what unfinished work holds already."""
        return self.costs().get("disk", 0) - artifacts.size(self.work_folder())

    def units(self) -> int | None:
        """For `plan`: how many pictures or bytes `seconds` grows with; `build` returns it as facts['units']."""
        return None

    def takes_like(self) -> tuple[Stage, float] | None:
        """For `plan`, where no artifact of this stage tells: another one, and how many times as long this one takes."""
        return None

    # -- the path says what it is ---------------------------------------------------------------

    @cached_property
    def upstream(self) -> dict[str, Stage]:
        return self.inputs()

    @cached_property
    def key(self) -> Key:
        """Everything that decides the artifact's content; its hash is in the folder's name."""
        return Key(
            stage=self.get_task_family(),
            version=self.version,
            parameters=self._identities() | self.identity(),
            upstream={name: stage.fingerprint for name, stage in self.upstream.items()},
        )

    def _identities(self) -> dict[str, Any]:
        known, declared = settings.artifacts_folder() / ".identities.json", dict(self.get_params())
        return {
            name: declared[name].identity(value, known) if isinstance(declared[name], Flag) else value
            for name, value in self.deciding.items()
        }

    @cached_property
    def fingerprint(self) -> str:
        return self.key.fingerprint

    @cached_property
    def slug(self) -> str:
        text = "-".join(str(getattr(self, name)) for name in self.named_by)
        return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:80]

    @cached_property
    def path(self) -> Path:
        return settings.artifacts_folder() / self.stage_name() / f"{self.slug}-{self.fingerprint}"

    @classmethod
    def stage_name(cls) -> str:
        """ExtractFeatures → extract-features."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.get_task_family()).lower()

    def work_folder(self) -> Path:
        """Where unfinished work that is worth keeping lies (parts, shards, snapshots), until gc."""
        return settings.artifacts_folder() / ".work" / f"{self.stage_name()}-{self.work_key()}"

    def work_key(self) -> str:
        return self.fingerprint

    # -- done, and honestly so ------------------------------------------------------------------

    def requires(self) -> list[Stage]:
        return [*self.upstream.values(), *self.guards()]

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(str(self.path / MANIFEST))

    def complete(self) -> bool:
        """Whether the artifact is there, whole, and made from today's inputs. Reads manifests and sizes only."""
        if self.rerun and not self._made_by_this_run():
            return False
        return self.state().status == "complete"

    def state(self, seen: dict[Path, State] | None = None) -> State:
        """Whole, damaged, stale or gone, and why: see staleness.py. `seen` shares the answers within one walk."""
        return state_of(self, {} if seen is None else seen)

    def manifest(self) -> Manifest:
        """What the finished artifact says of itself. StageError where there is none."""
        state = self.state()
        if state.manifest is None or state.status != "complete":
            raise StageError(f"{self.stage_name()} ({self.path}): {state.why}; run the same command again")
        return state.manifest

    def _made_by_this_run(self) -> bool:
        manifest = artifacts.inspect(self.path).manifest
        return manifest is not None and manifest.finished > PROCESS_STARTED

    @cached_property
    def progress(self) -> StageProgress:
        """For the functions that do the work: how many `unit` are done."""
        return StageProgress(self, self.stage_name(), self.unit)

    def hashing(self, unit: str = "bytes") -> StageProgress:
        """For what hashes files, in a `with`."""
        return StageProgress(self, f"{self.stage_name()}: hashing", unit)

    @cached_property
    def warnings(self) -> list[str]:
        """What `warn` has been given, for the manifest."""
        return []

    # -- making it ------------------------------------------------------------------------------

    def run(self) -> None:
        """Build in a temporary sibling, describe, flush, rename: all or nothing, whatever is killed when."""
        if self.complete():  # the inputs were repaired and came out the same: nothing to do
            logger.info("%s: kept, its inputs came out as they were", self.stage_name())
            return
        started, said_before = time.time(), len(self.warnings)
        folder = temporary_name(self.path)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            artifacts.sweep(self.path)
            self.need_room(self.room())
            folder.mkdir()
            used = self._read_inputs()
            self.made_in(folder, {})
            facts = self.build(folder)
            made, hashes = self._made
            self._describe(made, hashes, used, facts, started).write(folder)
            (folder / MANIFEST).replace(made / MANIFEST)  # whole: another run may be there, too
            ours = publish.publish(made, self.path, keep=self.complete)
        except Exception as error:
            if not self.complete():
                if isinstance(error, OSError):
                    raise StageError(refusal(error, self.path)) from error
                raise
            ours = False  # another run was faster, and has removed the work that we were about to use
        finally:
            self.progress.close()
            del self.warnings[said_before:]  # another try in this process says its own
            if os.path.lexists(folder):
                artifacts.remove(folder)
            give_back_memory()
        if not self.keeps_work():
            shutil.rmtree(self.work_folder(), ignore_errors=True)
        if ours:
            logger.info("built %s in %.1f s: %s", self.get_task_family(), time.time() - started, self.path)
        else:
            logger.info("%s: another run made the same artifact first; it is kept", self.stage_name())

    def need_room(self, size: int) -> None:
        """Refuse, before the work, to begin what the disk has no room for."""
        folder, free = settings.artifacts_folder(), shutil.disk_usage(self.path.parent).free
        if size > free:
            advice = "make room (gc lists what no longer counts), or put [paths] artifacts on another disk"
            raise StageError(f"needs {size:,} bytes, but {folder} has only {free:,} free; {advice}")

    def _read_inputs(self) -> dict[str, Input]:
        """Hash every input before it is read: a flipped byte shows here, and marks that artifact for repair."""
        used = {}
        for name, stage in self.upstream.items():
            state = artifacts.inspect(stage.path, stage.get_task_family())
            if state.manifest is None or state.status != "complete":
                raise StageError(f"input {name} ({stage.path}): {state.why}; run the same command again")
            with self.hashing() as progress:
                wrong = artifacts.verify(stage.path, state.manifest, progress)
            if wrong:
                raise StageError(
                    f"input {name} ({stage.path}) is damaged: {'; '.join(wrong)}. It is marked; run the same command "
                    "again and it is rebuilt"
                )
            used[name] = Input(str(stage.path), state.manifest.digest)
        return used

    def _describe(
        self,
        made: Path,
        hashes: dict[str, str],
        used: dict[str, Input],
        facts: dict[str, Any],
        started: float,
    ) -> Manifest:
        """The manifest of the files in `made`."""
        from tasks.contract.environment import environment

        with self.hashing() as progress:
            files = artifacts.describe(made, progress, hashes)
        if not files:
            raise StageError(f"{self.stage_name()} wrote nothing")
        finished = time.time()
        return Manifest(
            manifest_version=MANIFEST_VERSION,
            key=self.key,
            flags=self.flags_read,
            files=files,
            digest=digest(files, self.extras),
            inputs=used,
            started=started,
            finished=finished,
            seconds=round(finished - started, 3),
            host=socket.gethostname(),
            source=source_digest(self),
            facts=facts,
            warnings=self.warnings,
            **environment(),
        )

    def warn(self, message: str) -> None:
        """Log a warning and keep it in the manifest."""
        logger.warning("%s: %s", self.stage_name(), message)
        self.warnings.append(message)

    def file(self, name: str, file: str) -> Path:
        """A file of an input's artifact."""
        return self.upstream[name].path / file
