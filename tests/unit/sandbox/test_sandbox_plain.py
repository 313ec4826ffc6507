"""What counts as plain code, and that trying it leaves no trace."""

from __future__ import annotations

import decimal

import pytest
import sympy
import sympy.parsing.sympy_parser

from rstar_sandbox.guest.outcome import Status
from rstar_sandbox.guest.plain import Screen
from rstar_sandbox.guest.steps import Stepper

HEADER = (
    "from sympy import *\nfrom sympy.abc import *\n"
    "E = lambda s: sympify(s.replace(' = ', '-(') + ')'*s.count(' = '), globals(), rational=True)"
)

PLAIN = [
    "print(1)",
    "a = 3\nb = 4*a + 17\nprint(b)",
    HEADER + "\nprint(E('3*x + 0.5 = 1e5'))",
    "from sympy import symbols, solve\nx = symbols('x')\nprint(solve(x**2 - 2))",
    "import sympy as sp\nprint(sp.factor(sp.Symbol('x')**2 - 1))",
    "import math\nprint(math.gcd(12, 18), math.pi)",
    "def area(r):\n    if r < 0:\n        return 0\n    return 3.14 * r**2\nprint(area(2))",
    "print(f'{3 / 7:.4f}', *sorted({3, 1}), sep=', ')",
    "words = 'a b'.split()\nwords.append('c')\nprint(' '.join(words).upper())",
    "from collections import Counter\nprint(Counter('aab').most_common(1)[0][0])",
    "import re\nprint(re.sub(r'\\d', lambda m: m[0] * 2, 'a1'))",
    "from sympy import S, Matrix\nprint(S.Half, Matrix([[1, 2], [3, 4]]).det())",
    HEADER + "\nf = Lambda(x, E('x**2 - 1'))\nprint(f(3), E('f(f(2))'))",
    "from sympy.ntheory import digits\nprint(digits(35, 2)[1:])",
]

NOT_PLAIN = [
    "import os",
    "from os import *",
    "import sympy.core",
    "from sympy import init_printing",
    "from sympy.core.cache import clear_cache",
    "from functools import update_wrapper",
    "exec('1')",
    "f = eval",
    "print(().__class__)",
    "x = []\nx.sort.__self__",
    "import math\nmath.pi = 3",
    "for x.y in [1]:\n    pass",
    "[1 for x.y in [1]]",
    "import math as m\nm.__dict__",
    "import re\nre.compile('x')",
    "import re\nre.sys",
    "getattr(1, 'real')",
    "setattr(int, 'x', 1)",
    "globals()['n'] = 1",
    "sympify = lambda text, names: names",
    "def sympify(text, names):\n    return names",
    "from math import sqrt as sympify",
    "globals = dict",
    "sympify(*[globals()])",
    "global x",
    "class C:\n    pass",
    "with open('x') as file:\n    pass",
    "try:\n    1/0\nexcept ZeroDivisionError:\n    pass",
    "from sympy import *\nFU['x'] = 1",
    "from sympy import *\nf = Function('f')",
    "from sympy import *\nBasic([1])",
    "from sympy import *\nr = Rel.ValidRelationOperator",
    "import decimal\nd = decimal\nd.DefaultContext",
    "import math\nprint([math])",
    "from sympy import *\nS.register(3)",
    "from sympy import *\nlambdify(x, x)",
    "import sympy\nsympy.core.cache.clear_cache()",
    "import random\nprint(random.random())",
    "import numpy as np",
    "del n",
    "async def f():\n    pass",
    "(" * 300 + ")" * 300,
    "-" * 3999 + "1",
    "1" + " " * 5000,
    "a b",
]


@pytest.fixture(scope="module")
def screen() -> Screen:
    return Screen()


@pytest.fixture(scope="module")
def stepper(screen: Screen) -> Stepper:
    """One for all: its audit hook stays for the life of the process."""
    return Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)


@pytest.mark.parametrize("code", PLAIN)
def test_code_that_only_computes_is_plain(screen, code):
    assert screen.passes(code, {})


@pytest.mark.parametrize("code", NOT_PLAIN)
def test_code_that_might_reach_further_is_not_plain(screen, code):
    assert not screen.passes(code, {})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getpid()",
        "x.diff(x)",
        "setattr(Symbol, str(expand), 1)",
        "exit()",
        "vars(x)",
        "var(y)",
        "(lambda: 1)()",
        "x._args",
        "f'{x}'",
        "lambdify(x, x)",
        "1.0.real",
        "a__b",
    ],
)
def test_texts_that_could_act_are_not_read(screen, text):
    assert not screen.reads(text)


@pytest.mark.parametrize("text", ["3*x + 2", "-1.5e-3", "2.*y", "f(x, 2) - (3)", "x**2 >= 4"])
def test_formulas_are_read(screen, text):
    assert screen.reads(text)


def test_an_attempt_leaves_names_containers_and_generators_as_they_were(screen, capsys):
    namespace = {"__name__": "__main__", "__builtins__": __builtins__}
    stepper = Stepper(namespace, screen)
    start = HEADER + "\nroots_ = solve(E('x**2 - 4'), x)\nbag = {'a': [1]}\nn = 5"
    assert stepper.run(start, "<step 1>").status == Status.UNDOABLE
    names = list(namespace)
    state, dummies = sympy.core.random.rng.getstate(), sympy.Dummy._count
    code = "roots_.append(n)\nbag['a'].append(2)\nbag['b'] = solve(n**2 - 2*n)\n"
    code += "n += 1\nm = n\nprint(bag['a'])"
    assert stepper.attempt(code, "<step 2>").status == Status.OK
    assert capsys.readouterr().out == "[1, 2]\n"
    assert list(namespace) == names
    assert (namespace["roots_"], namespace["bag"], namespace["n"]) == ([-2, 2], {"a": [1]}, 5)
    assert (sympy.core.random.rng.getstate(), sympy.Dummy._count) == (state, dummies)


def test_what_a_function_of_sympy_holds_is_put_back(screen, capsys):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    start = "from sympy import *\nx = Symbol('x')\nf = Lambda(x, [x, x + 1])"
    assert stepper.run(start, "<step 1>").status == Status.UNDOABLE
    code = "f.args[1].append(x + 2)\nf.args[1].reverse()\nprint(f.args[1])"
    assert stepper.attempt(code, "<step 2>").status == Status.OK
    assert stepper.attempt("print(f.args[1], f.args[0])", "<step 2>").status == Status.OK
    assert capsys.readouterr().out == "[x + 2, x + 1, x]\n[x, x + 1] (x,)\n"


@pytest.mark.parametrize(
    "held", ["Matrix([[x]])", "{x}", "Symbol('x', positive=True)", "Function('g')"]
)
def test_what_a_function_of_sympy_holds_is_out_of_reach_or_put_back(screen, held):
    namespace = {"__name__": "__main__", "__builtins__": __builtins__, "f": None}
    stepper = Stepper(namespace, screen)
    stepper.run(f"from sympy import *\nx = Symbol('x')\nf = Lambda(x, {held})", "<step 1>")
    assert namespace["f"] is not None
    before = repr(namespace["f"])
    for change in ("row_del(0)", "pop()", "clear()", "update({1})"):
        stepper.attempt(f"f.args[1].{change}", "<step 2>")
    assert repr(namespace["f"]) == before


def test_an_attempt_that_raises_is_undone_too(screen):
    namespace = {"__name__": "__main__", "__builtins__": __builtins__, "n": [1]}
    report = Stepper(namespace, screen).attempt("n.append(2)\nm = 1\n1/0", "<step 1>")
    assert (report.status, report.type, report.line) == (Status.RAISED, "ZeroDivisionError", 3)
    assert namespace["n"] == [1]
    assert "m" not in namespace


def test_texts_that_could_act_are_refused_before_they_are_evaluated(stepper):
    code = "from sympy import sympify\nprint(sympify('__impo' + 'rt__(\"sys\").exit()'))"
    assert stepper.attempt(code, "<step 1>").status == Status.ABSTAINED


def test_values_that_cannot_be_put_back_stop_attempts(screen):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    assert stepper.run("g = (n for n in range(9))", "<step 1>").status == Status.UNDOABLE
    assert stepper.run("print(next(g))", "<step 2>").status == Status.PLAIN
    assert stepper.attempt("print(next(g))", "<step 2>").status == Status.ABSTAINED


def test_after_a_step_that_was_not_plain_nothing_is_attempted(screen):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    assert stepper.run("import os", "<step 1>").status == Status.OK
    assert stepper.attempt("print(1)", "<step 2>").status == Status.ABSTAINED


def test_a_step_that_had_an_odd_text_evaluated_was_not_plain(screen):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    step = "from sympy import sympify\ny = sympify('Symbol(\"a\").name')"
    assert stepper.run(step, "<step 1>").status == Status.OK
    assert stepper.attempt("print(1)", "<step 2>").status == Status.ABSTAINED


def test_flags_that_decimal_arithmetic_raised_are_put_back(screen, capsys):
    decimal.getcontext().clear_flags()
    code = "from decimal import Decimal\nprint(Decimal(1) / Decimal(3))"
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    assert stepper.attempt(code, "<step 1>").status == Status.OK
    assert not decimal.getcontext().flags[decimal.Inexact]


def test_steps_that_were_kept_are_undone_one_by_one(screen, capsys):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    assert stepper.run("items = [1]", "<step 1>").status == Status.UNDOABLE
    for step in ("items.append(2)\nn = 1", "items.append(3)\ndel_ = items\nitems = []"):
        assert stepper.attempt(step, "<step>", keep=True).status == Status.UNDOABLE
    assert stepper.attempt("items.append(4)\n1/0", "<step>", keep=True).status == Status.RAISED
    for place, printed in ((3, "[] [1, 2, 3]"), (2, "[1, 2] 1"), (1, "[1] none")):
        stepper.rewind(place)
        names = {3: "items, del_", 2: "items, n", 1: "items, 'none'"}[place]
        assert stepper.attempt(f"print({names})", "<step>").status == Status.OK
        assert capsys.readouterr().out == f"{printed}\n"


def test_nothing_is_undone_past_a_step_that_cannot_be(screen, capsys):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    assert stepper.run("n = 1", "<step 1>").status == Status.UNDOABLE
    assert stepper.run("import os\nn = 2", "<step 2>").status == Status.OK
    stepper.rewind(0)
    assert stepper.run("print(n)", "<step 3>").status == Status.OK
    assert capsys.readouterr().out == "2\n"


def test_a_closure_over_a_name_that_was_never_bound_is_left_to_a_fork(screen):
    stepper = Stepper({"__name__": "__main__", "__builtins__": __builtins__}, screen)
    maker = "def make():\n    def g():\n        return h\n    if 0:\n        h = 1\n    return g"
    assert stepper.run(f"{maker}\nf = make()", "<step 1>").status == Status.UNDOABLE
    assert stepper.attempt("print(2)", "<step 2>").status == Status.ABSTAINED


@pytest.mark.parametrize("value", ["{1, 2}", "[{1}]", "iter([1])", "(i for i in [1])"])
def test_beside_a_value_whose_past_shows_nothing_is_tried(screen, value):
    namespace = {"__name__": "__main__", "__builtins__": __builtins__, "v": eval(value)}
    assert Stepper(namespace, screen).attempt("print(2)", "<step 1>").status == Status.ABSTAINED
