"""Siblings that would leave something behind, were they tried in their parent's interpreter.

Plain code is tried there and undone. Each of these looks plain and changes what the next sibling
sees where the screen lets it pass or undoing forgets something. All stay within their session.
"""

from __future__ import annotations

from tests.support.sandbox_attacks import Attack

SYMPY = "from sympy import *\nfrom sympy.abc import *\n"


def _left(name: str, holds: str, code: str, beside: str, seen: str, *, path: str) -> Attack:
    return Attack(
        group="siblings",
        name=name,
        holds=holds,
        code=f"{code}\nprint('HELD')",
        path=(path,),
        beside=beside,
        seen=seen,
    )


PLAIN = (
    _left(
        "turn-greater-into-less",
        "sympy's table of relations is the sibling's own",
        "r = Rel.ValidRelationOperator\nr['>'] = r['<']",
        "print(Rel(x, 1, '>'))",
        "x > 1\n",
        path=SYMPY,
    ),
    _left(
        "fill-a-set-of-a-class",
        "a library class's attributes are the sibling's own",
        "AlgebraicNumber(sqrt(2)).free_symbols.add(x)",
        "print(AlgebraicNumber(sqrt(3)).free_symbols)",
        "set()\n",
        path=SYMPY,
    ),
    _left(
        "make-a-function-that-answers-otherwise",
        "sympy's cache holds no object of a sibling's making",
        "g = Function('g')\nf = Function('f', (g,), {'__add__': lambda s, o: Integer(7)})\nf(x)",
        "f = Function('f')\nprint(f(x) + 1)",
        "f(x) + 1\n",
        path=SYMPY,
    ),
    _left(
        "print-from-the-grave",
        "nothing of an attempt runs after it",
        "T = FunctionClass('T', (preorder_traversal,), {'__del__': lambda s: print('planted')})\n"
        "c = [T(x)]\nc.append(c)",
        "print(len([[[] for _ in range(5)] for _ in range(5000)]))",
        "5000\n",
        path=SYMPY,
    ),
    _left(
        "change-a-list-within-an-expression",
        "what an expression of the parent's holds is the parent's",
        "b.args[0].append(3)",
        "print(b)",
        "Basic([1, 2])\n",
        path=f"{SYMPY}b = Basic([1, 2])",
    ),
    _left(
        "change-a-list-of-a-function",
        "what a function class of the parent's holds is the parent's",
        "f.is_list.append(3)",
        "print(f.is_list)",
        "[1]\n",
        path=f"{SYMPY}f = Function('f', is_list=[1])",
    ),
    _left(
        "reorder-a-set",
        "a set of the parent's is walked in the order it had",
        "1 + 1",
        "print(s)",
        "{1, 8}\n",
        path="s = set(range(1000))\nfor i in range(1000):\n    if i not in (8, 1):\n"
        "        s.discard(i)",
    ),
    _left(
        "factor-ahead",
        "what a sibling has factored does not help the next",
        "factorint(1000003 * 1000033)",
        "print(factorint(1000003 * 1000033, limit=100))",
        "{1000036000099: 1}\n",
        path=SYMPY,
    ),
    _left(
        "flag-the-default-context",
        "decimal's templates are the sibling's own",
        "d = decimal\nd.Decimal(2).sqrt(d.DefaultContext)",
        "import decimal as q; print(q.DefaultContext.flags[q.Inexact])",
        "False\n",
        path="import decimal",
    ),
)
