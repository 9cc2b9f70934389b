"""What Snakemake makes again: by content, whatever times of files say; and what stays until its replacement is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.workflow.planning import forked
from vggrepro.core.recipes import FAILED, UNFINISHED
from vggrepro.workflow import content

SNAKEFILE = """
from vggrepro.workflow.content import decide_by_content
decide_by_content(workflow, "results/x")

rule all:
    input: "results/x/table.txt"

rule parent:
    input: "given.txt"
    output: "results/x/parent/weights"
    log: "results/x/logs/parent"
    params: settings=config["parent"]
    shell: "echo parent >> made; cp {input} {output}"

rule child:
    input: rules.parent.output
    output: directory("results/x/child")
    params: settings=config["child"]
    shell: "echo child >> made; {params.settings}; mkdir -p {output}; cp {input} {output}/scores"

rule table:
    input: rules.child.output
    output: "results/x/table.txt"
    shell: "echo table >> made; cat {input}/scores > {output}"
"""
"""A chain of three jobs with the decisions of ours, and a list of what was made."""

SIBLING = """
rule sibling:
    input: rules.parent.output
    output: "results/x/sibling"
    shell: "echo sibling >> made; cp {input} {output}"
"""


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder in which all three were made."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "given.txt").write_text("given\n")
    assert made(folder) == ["parent", "child", "table"]
    return folder


def made(folder: Path, parent: str = "1", child: str = "true", *, fails: bool = False) -> list[str]:
    """What a call of Snakemake makes."""
    (folder / "made").write_text("")
    call = ["--cores", "1", "--nolock", "--config", f"parent={parent}", f"child={child}"]
    done = forked(call, folder)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return (folder / "made").read_text().split()


def set_times(folder: Path, *names: str, when: float) -> None:
    for name in names:
        for path in [folder / name, *(folder / name).rglob("*")]:
            os.utime(path, (when, when))


def test_a_copy_a_touch_and_a_wrong_clock_make_nothing(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy)  # without times
    shutil.copytree(finished / "results", tmp_path / "alone/results", copy_function=shutil.copy)
    for name in ("Snakefile", "given.txt"):
        shutil.copy(finished / name, tmp_path / "alone")
    for folder in (finished, tmp_path / "copy", tmp_path / "alone"):
        set_times(folder, "results/x/child", "results/x/table.txt", when=1e9)
        set_times(folder, "given.txt", "results/x/parent", when=time.time() + 1e5)
        assert made(folder) == []


def test_changed_content_and_settings_are_made_again_with_what_follows_wherever_results_lie(finished, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(finished, moved, ignore=shutil.ignore_patterns(".snakemake"))
    for folder in (finished, moved):
        assert made(folder, child="true 2") == ["child", "table"]
        assert made(folder, parent="2", child="true 2") == ["parent", "child", "table"]
        (folder / "given.txt").write_text("other\n")
        set_times(folder, "given.txt", when=1e9)
        assert made(folder, parent="2", child="true 2") == ["parent", "child", "table"]
        assert (folder / "results/x/table.txt").read_text() == "other\n"
        assert made(folder, parent="2", child="true 2") == []


def test_what_is_finished_stays_while_its_replacement_fails_and_counts_no_more(finished):
    for _ in range(2):  # the same line tries again: what is there was not made by it
        assert made(finished, child="false", fails=True) == ["child"]
        assert (finished / "results/x/child/scores").read_text() == "given\n"
        assert json.loads((finished / "results/x/recipes/child.json").read_text()) == [FAILED], "the results say so"
    assert made(finished) == ["child", "table"]
    assert made(finished) == []


def test_what_a_kill_leaves_is_made_again_by_the_same_line(finished):
    assert made(finished, child="kill -9 $PPID", fails=True) == ["child"]
    assert (finished / "results/x/child/scores").exists()
    assert "child" in made(finished)


def test_a_job_that_failed_and_waits_for_another_try_has_not_failed(tmp_path):
    """On a cluster: Snakemake notes that it was submitted."""
    recipes, job = content._Recipes(tmp_path), SimpleNamespace(output=[tmp_path / "child"])
    place = tmp_path / "recipes/child.json"
    recipes.begin_again(None, job)
    assert not place.exists(), "what never ran has nothing to say"
    recipes.fail(None, job)
    recipes.begin_again(None, job)
    assert json.loads(place.read_text()) == [UNFINISHED]
    place.write_text('["settings"]')
    recipes.begin_again(None, job)
    assert json.loads(place.read_text()) == ["settings"], "it may have ended already"


def test_what_stayed_elsewhere_is_made_for_those_who_need_it_and_for_nobody_else(finished):
    """As after a merge of packs without weights: the parent is made for a new child, not for what was made from it before."""
    shutil.rmtree(finished / "results/x/parent")
    lines = json.loads((finished / "results/x/recipes/child.json").read_text())
    (content,) = (line.split(": ")[1] for line in lines if line.startswith("parent/weights: "))
    elsewhere = finished / "results/x/recipes/elsewhere.json"
    elsewhere.write_text(json.dumps({"parent/weights": content}))
    assert made(finished) == []
    (finished / "Snakefile").write_text(
        SNAKEFILE.replace('"results/x/table.txt"', '"results/x/table.txt", "results/x/sibling"', 1) + SIBLING
    )
    assert sorted(made(finished)) == ["parent", "sibling"], "the child that is there stays"
    assert made(finished, child="true 2") == ["child", "table"]
    shutil.rmtree(finished / "results/x/parent")
    elsewhere.write_text(json.dumps({"parent/weights": "other"}))
    assert sorted(made(finished, child="true 2")) == ["child", "parent", "sibling", "table"]


def test_a_reworded_rule_makes_nothing(finished):
    (finished / "Snakefile").write_text(SNAKEFILE.replace("mkdir -p", "mkdir  -p"))
    assert made(finished) == []


def test_a_recipe_says_settings_and_content_and_no_place(finished):
    recipe = json.loads((finished / "results/x/recipes/child.json").read_text())
    assert len(recipe) == 2
    assert "'true'" in recipe
    assert any(re.fullmatch(r"parent/weights: [0-9a-f]{32}", line) for line in recipe)


def test_a_recipe_that_cannot_be_kept_ends_the_job_in_one_message(finished):
    recipes = finished / "results/x/recipes"
    shutil.rmtree(recipes)
    recipes.touch()
    done = forked(["--cores", "1", "--nolock", "--config", "parent=2", "child=true"], finished)
    assert done.returncode != 0
    assert "weights.json: what parent is made from cannot be kept there: Not a directory" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (finished / "results/x/parent/weights").exists(), "what was finished is still there"
