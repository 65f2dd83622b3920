"""``calcscore explain`` and ``calcscore rules``: how a score adds up, and how others would have counted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from calcscore_ml.cli.console import command, emit, screen, table


@command
def explain(
    result: Annotated[Path, typer.Argument(help="A result folder written by `calcscore score`.")],
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Compare this rule too; give it again for more, or `all`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """List what adds up to a score, and compare scoring rules side by side.

    Example: `calcscore explain results/scan-1 --rule umcu --rule ai-cac`
    """
    from calcscore_ml.errors import RecipeError
    from calcscore_ml.result import counted, read_result
    from calcscore_ml.scores import RULES, find_rule, summarise

    found, calcium = read_result(result)
    calcium = counted(found, calcium)
    wanted = [r.name for r in RULES] if rule == ["all"] else list(rule or ())
    summaries = [found.score]
    refused: list[tuple[str, str]] = []
    for other in [find_rule(name) for name in wanted if name != found.score.rule.name]:
        try:
            summaries.append(summarise(calcium, other, found.score.calibration, found.score.scheme))
        except RecipeError as error:  # a rule that needs the slice thickness, and the scan has none
            refused.append((other.name, str(error)))
    if as_json:
        emit(
            {
                "contributions": [{**asdict(c), "label": c.label.title} for c in found.score.contributions],
                "valid": found.valid,
                "invalid_reasons": list(found.invalid_reasons),
                "total": found.score.total.agatston,
                "rules": [{"rule": s.rule.name, **asdict(s.total), "category": s.category} for s in summaries],
                "refused": dict(refused),
            }
        )
        return
    for reason in found.invalid_reasons:
        screen.print("no score:", style="red", end=" ")
        screen.print(f"{reason} What was computed is below.", markup=False, soft_wrap=True)
    columns = ("site", "lesion", "slice", "z mm", "area mm2", "peak HU", "weight", "spacing factor", "contribution")
    rows: list[tuple[object, ...]] = [
        (
            c.label.title,
            c.lesion,
            c.slice_index,
            c.z_mm,
            f"{c.area_mm2:.2f}",
            c.peak_hu,
            c.weight,
            f"{c.spacing_factor:.3f}",
            f"{c.score:.2f}",
        )
        for c in found.score.contributions
    ]
    table(f"Agatston, rule {found.score.rule.name!r}: area x weight x spacing factor", columns, rows)
    coronary = [c.score for c in found.score.contributions if c.label.is_coronary]
    screen.print(f"{len(coronary)} coronary contributions add up to {found.score.total.agatston:.2f}")
    if len(summaries) > 1 or refused:
        compared: list[tuple[object, ...]] = [
            (
                s.rule.name,
                s.total.agatston,
                s.total.lesions,
                s.category,
                s.rule.connectivity,
                s.rule.peak,
                s.rule.spacing,
            )
            for s in summaries
        ]
        table(
            "The same voxels by other rules",
            ("rule", "Agatston", "lesions", "category", "connected", "peak per", "slices"),
            compared,
        )
        for name, why in refused:
            screen.print(f"{name}: {why}", markup=False, soft_wrap=True)


@command
def rules(
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on standard output.")] = False,
) -> None:
    """List the Agatston rules that have a name, with their sources.

    Example: `calcscore rules`
    """
    from calcscore_ml.scores import RULES

    if as_json:
        emit([asdict(r) for r in RULES])
        return
    table("Agatston rules", ("rule", "source"), [(r.name, r.source) for r in RULES])
