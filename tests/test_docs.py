"""Every command and snippet in the README and the docs runs as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from calcscore_ml.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [p for p in PAGES if BLOCK.search(p.read_text())], ids=lambda p: p.name)
def test_a_pages_commands_run_in_order(page, tmp_path):
    """Its blocks, one after the other, in a folder that has what a clone has."""
    for name in ("data", "configs", "scripts", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, code in BLOCK.findall(page.read_text()):
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


SHOWN = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "calcscore " in "".join(SHOWN.findall(p.read_text()))], ids=lambda p: p.name
)
def test_commands_that_are_only_shown_exist(page):
    """What a page shows without running it, as it waits for people or needs many patients, are commands there are."""
    for line in "".join(SHOWN.findall(page.read_text())).replace("\\\n", " ").splitlines():
        words = line.split("#")[0].split()
        if words[:1] != ["calcscore"]:
            continue
        command = app_command(words[1])
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.split("=")[0] for word in words if word.startswith("-")}
        assert used <= known, f"{line}: {used - known}"


def app_command(name):
    """A command of the command line, by name."""
    found = typer.main.get_command(app).commands
    assert name in found, f"there is no calcscore {name}"
    return found[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    """Every relative link and picture of a page exists."""
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_no_page_names_a_machine():
    """Committed text names no machine's paths."""
    for page in PAGES:
        assert not re.search(r"(^|[\s`(])/(home|root|work|tmp)/", page.read_text()), page
