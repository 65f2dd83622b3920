"""Sequential forward selection that may take a choice back."""

from __future__ import annotations

from calcscore_ml.models.selection import Criterion, ForwardSelection

BEYOND = 2
"""Sizes that the search goes on beyond the largest wanted, and beyond the last that gained: only a larger set shows
which early choice was wrong. Our choice."""


class FloatingSelection(ForwardSelection):
    """Choose features one at a time, and after each drop those that the others have made useless.

    Forward selection never leaves its first choice, though two later ones may say all it says, and more. Here, after
    each choice, features are dropped as long as what is left is better than the best set of that size so far; then the
    search goes on from there. The sets of the forward search stand as the best of their sizes from the start, so no
    size ends up worse than by `ForwardSelection`.

    Parameters, attributes and the score are those of `ForwardSelection`, with these differences: `order_` is the best
    set found of its size; `scores_` holds the best score of every size up to it; and `tolerance` is what a larger set
    must gain over a smaller one: the smallest set is chosen that no larger one beats by as much.

    References
    ----------
    P. Pudil, J. Novovicova, J. Kittler, "Floating search methods in feature selection", Pattern Recognit. Lett.
    15:1119-1125, 1994; going on from the best set of a size is the correction of P. Somol et al., "Adaptive floating
    search methods in feature selection", Pattern Recognit. Lett. 20:1157-1163, 1999.
    """

    def _search(self, criterion: Criterion, candidates: list[int]) -> tuple[list[int], list[float]]:
        order, scores = super()._search(criterion, candidates)
        best = [(score, order[: size + 1]) for size, score in enumerate(scores)]
        chosen: list[int] = []
        while len(chosen) < min(self.max_features + BEYOND, len(candidates)):
            size = len(chosen)
            if size == len(order) or chosen != order[:size]:  # else the forward search has taken this step
                remaining = [f for f in candidates if f not in chosen]
                trials = criterion.with_each(criterion.distances(chosen), remaining)
                score = max(trials)
                if size == len(best) > BEYOND and score - best[-1 - BEYOND][0] < self.tolerance:
                    break
                _keep(best, score, [*chosen, remaining[trials.index(score)]])
            chosen = _drop(criterion, best[size][1], best)
        found = [score for score, _ in best[: self.max_features]]
        size = next((k for k in range(len(found)) if max(found[k:]) - found[k] < self.tolerance), len(found) - 1)
        return best[size][1], found[: size + 1]


def _keep(best: list[tuple[float, list[int]]], score: float, features: list[int]) -> bool:
    """Note a set when it is the first or the best of its size; return whether it is."""
    size = len(features) - 1
    if size == len(best):
        best.append((score, features))
    elif score > best[size][0]:
        best[size] = (score, features)
    else:
        return False
    return True


def _drop(criterion: Criterion, chosen: list[int], best: list[tuple[float, list[int]]]) -> list[int]:
    """Drop the feature missed least, as long as the rest is the best set of its size; every single one was tried."""
    while len(chosen) > 2:
        rests = [[f for f in chosen if f != dropped] for dropped in chosen]
        scores = [criterion.with_each(criterion.distances(rest[:-1]), rest[-1:])[0] for rest in rests]
        rest = rests[scores.index(max(scores))]
        if not _keep(best, max(scores), rest):
            break
        chosen = rest
    return chosen
