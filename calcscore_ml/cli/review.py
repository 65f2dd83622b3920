"""``calcscore review``: a local page in which an expert decides on referred lesions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calcscore_ml.cli.console import command, complain, emit, screen

if TYPE_CHECKING:
    from calcscore_ml.review.server import Setting

OBSERVER = "expert"
"""Who decides, unless told otherwise."""


@command
def review(
    results: Annotated[Path, typer.Argument(help="Folder of result folders written by `calcscore score`.")],
    observer: Annotated[
        list[str] | None, typer.Option(help="Who decides; give it again for more, each gets an address.")
    ] = None,
    blinded: Annotated[bool, typer.Option("--blinded", help="Each observer has a reading that no other sees.")] = False,
    consensus: Annotated[
        bool, typer.Option("--consensus", help="Show earlier readings beside each other, and settle them.")
    ] = False,
    store: Annotated[
        str | None, typer.Option(help="Where decisions are kept: a file, or postgresql://USER@HOST/DATABASE.")
    ] = None,
    scans: Annotated[
        list[Path] | None,
        typer.Option(help="Where scans lie, if they moved: a data_manifest.csv or a scan; give it again for more."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 0,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let --host be reached from other machines, without encryption.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address, and open no browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """Decide on referred lesions in the browser; every decision is stored at once, with who made it and when.

    Scans are found where they were scored. What each address shows belongs to its observer: do not pass it on.

    Examples: `calcscore review results`, `calcscore review results --observer anna --observer ben --blinded`,
    then `calcscore review results --consensus`
    """
    from calcscore_ml.errors import ReviewError
    from calcscore_ml.review.server import open_review, serve

    if blinded and consensus:
        raise ReviewError("a review is blinded or for consensus, got both; read blinded first")
    setting = open_review(
        results,
        observers=observer or [OBSERVER],
        mode="blinded" if blinded else "consensus" if consensus else "shared",
        store=store,
        host=host,
        port=port,
        scans=scans or [],
        allow_network=allow_network,
    )
    if allow_network:
        screen.print("warning: other machines may connect, and what is sent is not encrypted", style="yellow")
    opened: list[Path] = []

    def ready() -> None:
        _tell(setting, as_json)
        if not no_browser:
            opened.append(_open_browser(next(iter(setting.addresses.values()))))

    try:
        serve(setting, complain, ready)
    except KeyboardInterrupt:
        screen.print("stopped; every decision that was shown as saved is kept")
    finally:
        for file in opened:
            file.unlink(missing_ok=True)


def _tell(setting: Setting, as_json: bool) -> None:
    """Print where each observer goes, and what is not as it should be."""
    import sys

    count, size = setting.review.volumes.copies()
    if as_json:
        emit({"addresses": setting.addresses, "scans": list(setting.order), "failed": setting.review.failed})
    else:
        for name, address in setting.addresses.items():
            typer.echo(f"{name}: {address}")
    sys.stdout.flush()
    for name, why in setting.review.failed.items():
        complain(f"{name}: {why}")
    folder = setting.review.volumes.folder
    screen.print(
        f"prepared copies of scans: {count} so far, {size / 1e6:.0f} MB in {folder}, which may be removed at any time",
        markup=False,
        soft_wrap=True,
    )
    screen.print("For research use only. Not a medical device. Stop with Ctrl+C.", style="dim")


def _open_browser(address: str) -> Path:
    """Open a page that leads to an address, so that the token is in no list of processes; return that page's file."""
    import html
    import os
    import tempfile
    import webbrowser

    handle, name = tempfile.mkstemp(prefix="calcscore-review-", suffix=".html")  # readable by this user alone
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">')
    webbrowser.open(Path(name).as_uri())
    return Path(name)
