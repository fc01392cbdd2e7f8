"""The stages that a task needs."""

from __future__ import annotations

import luigi

from tasks.contract.stage import Stage


def walk(root: luigi.Task) -> list[Stage]:
    """Every stage that `root` needs and itself, each once, inputs first."""
    order: dict[str, Stage] = {}

    def visit(task: luigi.Task) -> None:
        if task.task_id in order:
            return
        for need in luigi.task.flatten(task.requires()):
            visit(need)
        if isinstance(task, Stage):
            order[task.task_id] = task

    visit(root)
    return list(order.values())
