"""How far two texts are apart, as far as it matters."""

from __future__ import annotations


def is_apart(one: str, other: str, least: int) -> bool:
    """Whether it takes `least` edits or more to make one of the other (Levenshtein's distance).

    Only the diagonals that fewer edits reach are looked at (Ukkonen, *Algorithms for approximate
    string matching*, 1985): time grows with the length times `least`.
    """
    if abs(len(one) - len(other)) >= least:
        return True
    reach = least - 1
    # By diagonal, from `reach` columns before to `reach` behind: edits so far, `least` at most.
    edits = [min(abs(at - reach), least) if at >= reach else least for at in range(2 * reach + 1)]
    for row, letter in enumerate(one, start=1):
        before = least
        for at, same_diagonal in enumerate(edits):
            column = row + at - reach
            above = edits[at + 1] if at < 2 * reach else least
            if column == 0:
                before = row
            elif 0 < column <= len(other):
                changed = same_diagonal + (letter != other[column - 1])
                before = min(changed, above + 1, before + 1, least)
            else:
                before = least
            edits[at] = before
        if min(edits) >= least:
            return True
    return edits[len(other) - len(one) + reach] >= least
