"""Checked TOML files: recipes and cohorts, those of a user and those that come with the package."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from calcscore_ml.errors import RecipeError

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """Part of a file: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_toml(path: Path | str, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it is, for the error: "a recipe", "a cohort".

    Raises
    ------
    RecipeError
        When the file is missing or is not TOML.
    """
    file = Path(path)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{what} must be a readable TOML file, got {error} in {file}") from error


def check(model: type[Model], content: dict[str, Any], what: str, where: str) -> Model:
    """Check what was read against a model.

    Raises
    ------
    RecipeError
        When a key is unknown or a value out of range; the message names the key and `where`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RecipeError(
            f"{what} may only hold known keys with values in range, got {problems(error)} in {where}"
        ) from error


def problems(error: ValidationError) -> str:
    """Say what broke which key, in one line."""
    told = []
    for e in error.errors():
        if not e["loc"]:  # a rule about several sections, which the message names
            told.append(e["msg"])
            continue
        reason = "no such key" if e["type"] == "extra_forbidden" else f"{e['msg']} (got {e['input']!r})"
        told.append(f"{'.'.join(map(str, e['loc']))}: {reason}")
    return "; ".join(told)


def builtin_names(kind: str = "") -> tuple[str, ...]:
    """Return the names of the files that come with the package.

    Parameters
    ----------
    kind : str
        Empty for recipes, "cohorts" for cohorts.

    >>> "default" in builtin_names()
    True
    """
    return tuple(sorted(f.stem for f in _folder(kind).glob("*.toml")))


def builtin_file(name: str, what: str, kind: str = "") -> Path:
    """Return the path of a file that comes with the package.

    Raises
    ------
    RecipeError
        When there is none of that name; the names are listed.
    """
    if name not in builtin_names(kind):
        raise RecipeError(f"a built-in {what} must be one of {', '.join(builtin_names(kind))}; got {name!r}")
    return _folder(kind) / f"{name}.toml"


def _folder(kind: str) -> Path:
    here = Path(__file__).parent
    return next(f for f in (here / "configs", here.parent / "configs") if f.is_dir()) / kind
