"""Files for GitHub and contributors: workflows, templates, citation, architecture."""

import pathlib
import re
import subprocess
import sys

import pytest
import yaml

PACK = pathlib.Path(__file__).resolve().parents[2]


def read(name: str):
    return yaml.safe_load((PACK / name).read_text(encoding="utf-8"))


def test_every_push_runs_format_lint_types_units_and_the_suite():
    workflow = read(".github/workflows/ci.yml")
    assert {"push", "pull_request"} == set(workflow[True])  # YAML parses "on" as true
    commands = {name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in workflow["jobs"].items()}
    assert "ruff format --check" in commands["style"]
    assert "ruff check" in commands["style"]
    assert "mypy --strict" in commands["types"]
    assert "pytest tests/unit" in commands["unit"]
    assert "python run.py test" in commands["suite"]
    matrix = workflow["jobs"]["unit"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert {entry["os"] for entry in matrix["include"]} == {"macos-latest", "windows-latest"}


@pytest.mark.parametrize(
    "name",
    [
        "CITATION.cff",
        ".pre-commit-config.yaml",
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/idea.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
    ],
)
def test_files_for_github_can_be_read(name):
    assert read(name)


def test_no_import_goes_up():
    done = subprocess.run(
        [sys.executable, str(PACK / "tools" / "architecture.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_linked_files_are_there(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (PACK / page).read_text(encoding="utf-8")):
        assert (PACK / target).exists(), target
