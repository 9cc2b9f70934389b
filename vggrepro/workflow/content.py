"""Content, not time, decides what Snakemake makes again; and nothing finished is deleted before its replacement is there.

Snakemake by itself goes by the times of files, which a copy, a touch or a wrong clock changes, and deletes a job's outputs
before the job starts. `decide_by_content` replaces these decisions of it (`tests/workflow/test_content.py` runs the installed
version, and fails where a newer one decides elsewhere):

- no file is newer than another;
- what a job was made from, its *recipe*, is kept among the results (`recipes/`), goes where they go, and is compared;
- outputs stay where they are until the job, which writes them whole or not at all, replaces them.

Only results without a recipe, of an older version, are compared by what Snakemake knows of their params. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import _IOFile
from snakemake.jobs import Job
from snakemake.persistence import ParamsChange, PersistenceBase
from snakemake.settings.types import RerunTrigger

from vggrepro.core.checksums import file_checksum, recorded_checksum
from vggrepro.core.files import write_json
from vggrepro.core.recipes import FAILED, RECIPES, UNFINISHED, known_elsewhere


def decide_by_content(workflow: Any, root: str) -> None:  # noqa: ANN401
    """Let content decide in this process, for the results below the folder `root`."""
    from snakemake.dag import DAG  # cannot be imported before Snakemake is

    recipes = _Recipes(Path(root))
    # our comparison takes the place of that of params; a changed word in a rule is no reason
    type(workflow).rerun_triggers = frozenset({RerunTrigger.PARAMS})
    # the recipe of what a kill interrupted says so, and it is made again without being asked
    PersistenceBase.incomplete = _none
    _IOFile.is_newer = _never
    # `PersistenceBase.started` comes too late for this: the job runs already, and may have been killed
    Job.remove_existing_output = _before_it_runs(recipes.begin)
    # on a cluster it comes when a job that failed is submitted again
    PersistenceBase.started = _followed_by(PersistenceBase.started, recipes.begin_again)
    Job.cleanup = _nothing
    Job.postprocess = _ended_then(Job.postprocess, recipes.finish, recipes.fail)
    PersistenceBase.has_metadata = _or_else(recipes.known, PersistenceBase.has_metadata)
    PersistenceBase.params_changed = _or_else(recipes.changes, PersistenceBase.params_changed)
    DAG.update_needrun = _without_edges(DAG.update_needrun, recipes.stays_elsewhere)


class _Recipes:
    """What the results below a folder were made from."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, job: Any) -> None:  # noqa: ANN401
        """A job is about to start."""
        self._write(job, [UNFINISHED])

    def begin_again(self, persistence: Any, job: Any) -> None:  # noqa: ANN401
        """A job that failed waits for another try."""
        if (place := self._place(job)) and place.exists() and FAILED in place.read_text(encoding="utf-8"):
            self.begin(job)

    def finish(self, persistence: Any, job: Any) -> None:  # noqa: ANN401
        """A job has ended well."""
        _content.cache_clear()
        self._write(job, self._recipe(persistence, job))

    def fail(self, persistence: Any, job: Any) -> None:  # noqa: ANN401
        """A job has failed."""
        self._write(job, [FAILED])

    def known(self, persistence: Any, job: Any) -> bool | None:  # noqa: ANN401
        """Whether the recipe of a job's results is known; None where it is not."""
        place = self._place(job)
        return True if place and place.exists() else None

    def changes(self, persistence: Any, job: Any) -> ParamsChange | None:  # noqa: ANN401
        """How the recipe differs from that of the results there are; None where that is not known."""
        place = self._place(job)
        if not (place and place.exists()):
            return None
        try:
            old = set(json.loads(place.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            old = {UNFINISHED}
        new = set(self._recipe(persistence, job))
        return ParamsChange(only_old=old - new, only_new=new - old, files=set(job.output))

    def _write(self, job: Any, recipe: Iterable[str]) -> None:  # noqa: ANN401
        """Keep the recipe of a job; a WorkflowError, which Snakemake prints as a message, where that cannot be."""
        if place := self._place(job):
            try:
                write_json(place, sorted(recipe))
            except OSError as error:
                what = f"{place}: what {job.rule.name} is made from cannot be kept there: {error.strerror or error}"
                raise WorkflowError(f"{what}: make room or mend the folder, then give the same command again") from None

    def _place(self, job: Any) -> Path | None:  # noqa: ANN401
        """Where the recipe of a job lies; None for a job that makes nothing below the folder."""
        output = Path(str(next(iter(job.output), "")))
        if not output.is_relative_to(self.root):
            return None
        place = self.root / RECIPES / output.relative_to(self.root)
        return place.with_name(f"{place.name}.json")

    def _recipe(self, persistence: Any, job: Any) -> Iterator[str]:  # noqa: ANN401
        """Settings, and the content of every input by its name; not by its path, which another checkout changes."""
        yield from persistence._params(job)
        for path in map(Path, job.input):
            name, content = self._name(path), _content(path)
            yield f"{name}: {self.elsewhere.get(name, 'not there') if content is None else content}"

    @cached_property
    def elsewhere(self) -> dict[str, str]:
        """What stands for results that others made and kept: nothing that was made from them is made again."""
        return known_elsewhere(self.root)

    def stays_elsewhere(self, path: str) -> bool:
        """Whether an input is not here, though it is known what it is."""
        return bool(self.elsewhere) and not Path(path).exists() and self._name(Path(path)) in self.elsewhere

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else path.name


@cache
def _content(path: Path) -> str | None:
    """What stands for the content of an input, None if it is not there: of our results what their lists say, unread."""
    if not path.exists():
        return None
    if recorded := recorded_checksum(path):
        return recorded
    if path.is_file():
        return file_checksum(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return ", ".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files)


async def _never(file: Any, time: float) -> bool:  # noqa: ANN401
    return False


async def _none(persistence: Any, job: Any) -> list[Any]:  # noqa: ANN401
    return []


def _before_it_runs(begin: Callable[[Any], None]) -> Callable[[Any], Awaitable[None]]:
    async def begin_and_remove_logs(job: Any) -> None:  # noqa: ANN401
        begin(job)
        for log in job.log:
            await log.remove(remove_non_empty_dir=False)

    return begin_and_remove_logs


async def _nothing(job: Any, skip_outputs: Any) -> None:  # noqa: ANN401
    pass


_Method = Callable[..., Any]


def _followed_by(method: _Method, then: Callable[[Any, Any], None]) -> _Method:
    def both(self: Any, job: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
        method(self, job, *rest, **options)
        then(self, job)

    return both


def _ended_then(
    method: Callable[..., Awaitable[None]], well: Callable[[Any, Any], None], badly: Callable[[Any, Any], None]
) -> _Method:
    async def both(self: Any, *rest: Any, error: bool = False, **options: Any) -> None:  # noqa: ANN401
        await method(self, *rest, error=error, **options)
        # Snakemake notes the settings of a job that failed, too, because it deletes the outputs of such a job
        (badly if error else well)(self.dag.workflow.persistence, self)

    return both


def _without_edges(update: Callable[..., Awaitable[None]], known: Callable[[str], bool]) -> _Method:
    """Decide what is made again as `update` does, but without edges of the DAG whose files are made again with known content.

    The jobs that make such files run where somebody needs them; what was made from them before stays.
    """

    async def updated(dag: Any, *rest: Any, **options: Any) -> None:  # noqa: ANN401
        edges = [(job, later, files) for job, of_job in dag.depending.items() for later, files in of_job.items()]
        cut = [(job, later, files) for job, later, files in edges if all(map(known, files))]
        for job, later, _ in cut:
            del dag.depending[job][later]
        try:
            await update(dag, *rest, **options)
        finally:
            for job, later, files in cut:
                dag.depending[job][later] = files

    return updated


def _or_else(first: Callable[[Any, Any], Any], otherwise: _Method) -> _Method:
    def either(self: Any, job: Any, *rest: Any) -> Any:  # noqa: ANN401
        answer = first(self, job)
        return otherwise(self, job, *rest) if answer is None else answer

    return either
