"""The command line: ``calcscore --help``.

Commands import what they need when they run, so that help comes at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from calcscore_ml.cli.atlas import atlas
from calcscore_ml.cli.cohort import phantom
from calcscore_ml.cli.explain import explain, rules
from calcscore_ml.cli.info import info
from calcscore_ml.cli.learning import evaluate, train
from calcscore_ml.cli.manifest import manifest
from calcscore_ml.cli.promise import promise
from calcscore_ml.cli.review import review
from calcscore_ml.cli.score import score

app = typer.Typer(
    name="calcscore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    help="Score coronary calcium in CT with classical machine learning. **For research use only.**",
    epilog="Exit codes: 0 done, 1 some scans failed, 2 wrong use.",
)

for function in (score, review, explain, rules, info, phantom, train, evaluate, promise):
    app.command()(function)
app.add_typer(atlas)
app.add_typer(manifest)


@app.callback(invoke_without_command=True)
def _front_door(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"calcscore-ml {installed('calcscore-ml')}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
