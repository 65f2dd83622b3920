"""The page's own files, read once: what a request names is looked up among them and never opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from calcscore_ml.result import INTENDED_USE

KINDS: dict[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
"""Media type by ending; other files are not given out."""

PAGE = "index.html"
"""The page itself, a template."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page.

    Parameters
    ----------
    content : bytes
        What is sent.
    kind : str
        Media type.
    etag : str
        Changes with the content.
    """

    content: bytes
    kind: str
    etag: str


def read_assets() -> dict[str, Asset]:
    """Read every file of the page, by name."""
    made = {}
    for file in files("calcscore_ml.review").joinpath("static").iterdir():
        ending = f".{file.name.rpartition('.')[2]}"
        if ending not in KINDS:
            continue
        content = file.read_bytes()
        if file.name == PAGE:
            environment = Environment(autoescape=True, undefined=StrictUndefined)
            template = environment.from_string(content.decode())
            content = template.render(intended_use=INTENDED_USE, version=version("calcscore-ml")).encode()
        made[file.name] = Asset(content, KINDS[ending], f'"{hashlib.sha256(content).hexdigest()[:20]}"')
    return made
