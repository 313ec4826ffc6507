"""Which code is plain: it can change its own names and nothing that was there before.

Plain code needs no process of its own. It runs in the parked interpreter of its parent, and what
it did is undone afterwards. That takes a hundredth of a fork, but only if *undone* is certain, so
everything not known to be harmless is not plain: a name, an attribute, a kind of statement or a
value that is not listed here sends the code to a fork, where nothing has to be trusted.

Static part (`Screen.passes`): statements and expressions that only compute and bind names; no
attribute is assigned, no underscored one read, only listed methods, builtins and libraries.
Dynamic part (`trial`): texts that sympy would evaluate are held against the same lists, and the
parent's values must all be immutable or containers that can be put back.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import types
from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 4000
"""Of plain code: bounds the depth of its syntax tree."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BUILTINS = _words(
    "abs all any bin bool chr complex dict divmod enumerate filter float format frozenset hex int"
    " isinstance len list map max min next oct ord pow print range repr reversed round set slice"
    " sorted str sum tuple zip"
)

LIBRARIES: dict[str, frozenset[str] | None] = {
    "sympy": None,
    "sympy.abc": None,
    "sympy.ntheory": None,
    "math": None,
    "cmath": None,
    "itertools": None,
    "fractions": frozenset({"Fraction"}),
    "functools": frozenset({"reduce"}),
    "collections": frozenset({"Counter"}),
    "datetime": frozenset({"datetime", "timedelta", "date"}),
    "decimal": frozenset({"Decimal"}),
    "re": frozenset({"sub", "findall", "split", "match", "search", "fullmatch"}),
}
"""What plain code imports, and which names of it; None: all that hold no state."""

STATEFUL = _words(
    "init_printing init_session interactive_traversal var lambdify nsolve parse_expr preview test"
    " doctest global_assumptions assuming evaluate public cacheit memoize_property use ask"
    " register_handler remove_handler sieve factor_cache plot plot_backends plot_implicit"
    " plot_parametric plotting textplot print_gtk pager_print dotprint pprint_use_unicode threaded"
    " pprint_try_use_unicode xthreaded vectorize timed source seterr vfield vring xfield xring"
    " sfield sring field ring symarray random_poly randMatrix randprime capture lazy_function"
    " smtlib_code LazyFunction Sieve FactorCache DeferredVector seed isolate external"
)
"""Names of libraries that act on more than their arguments, build code or draw at random."""

METHODS = _words(
    "adjoint all_coeffs append apart args as_coeff_Add as_coeff_Mul as_coefficient"
    " as_coefficients_dict as_expr as_integer_ratio as_independent as_leading_term as_numer_denom"
    " as_ordered_factors as_ordered_terms as_poly as_powers_dict as_real_imag as_set as_dict atoms"
    " base bit_count bit_length boundary cancel ceiling clear closure coeff coeff_monomial coeffs"
    " collect complement conjugate copy count date day days degree denominator det diff difference"
    " doit dot elements end endswith eq evalf exp expand extend factor factor_list factors find"
    " floor format free_symbols fromkeys func gen gens get has has_free hex hour index inf insert"
    " intersect intersection inv invert is_integer isalnum isalpha isdecimal isdigit islower"
    " isdisjoint isoformat isspace issubset issuperset isupper items join key keys left lcm lhs"
    " limit limit_denominator ljust log lower lstrip match measure microsecond minute"
    " minutes month monoms most_common n name normalize normal nroots numerator nullspace open p"
    " pop popitem powsimp q quantize radsimp rank ratsimp real real_roots remove removeprefix"
    " removesuffix replace reverse rewrite rhs right rjust root roots round rref rsplit rstrip"
    " second seconds series setdefault shape simplify sort sorted split splitlines sqrt start"
    " startswith stop strftime strip strptime subs subtract sup swapcase symmetric_difference terms"
    " title to_integral_value together total total_seconds trace transpose trigsimp union update"
    " upper variables weekday xreplace year zfill add group groups imag discard discriminant"
    " total_degree LC LM TC nth cols rows row col div rem quo gcd eval compose"
)

_NODES = (
    ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.Pass,
    ast.Break, ast.Continue, ast.Assert, ast.FunctionDef, ast.Lambda, ast.Return, ast.arguments,
    ast.arg, ast.Import, ast.ImportFrom, ast.alias, ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Call, ast.keyword,
    ast.IfExp, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.Name, ast.expr_context,
    ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp,
    ast.GeneratorExp, ast.comprehension, ast.JoinedStr, ast.FormattedValue, ast.Constant,
)  # fmt: skip
_READING = re.compile(r"[\w\s+\-*/^().,=<>!\[\]]*", re.ASCII)
_WORD = re.compile(r"[^\W\d]\w*")
_ACCESS = re.compile(r"[\w)\]]\s*\.\s*[^\W\d]|__")
_EXPONENT = re.compile(r"\b\d+\.?(?:[eE][+-]?\d+)\b")

PARSER = "sympify"
"""The one function that plain code may hand its global names to."""


class Screen:
    """Tells plain code. Made once, in the zygote; knows what the libraries hold."""

    def __init__(self) -> None:
        self._exports: dict[str, frozenset[str]] = {}
        self.library_values: set[int] = set()
        for name, listed in LIBRARIES.items():
            values = vars(importlib.import_module(name))
            names = values if listed is None else listed
            useful = {key for key in names if _is_name(key) and _is_stateless(values[key])}
            self._exports[name] = frozenset(useful - STATEFUL)
            self.library_values.update(id(values[key]) for key in values if _is_name(key))
        self._sympy = frozenset(vars(importlib.import_module("sympy"))) - self._exports["sympy"]

    def passes(self, code: str, modules: Mapping[str, str]) -> bool:
        """Whether running `code` can do no more than compute, print and bind names.

        `modules` are the names that are bound to libraries already.
        """
        if len(code) > MAX_CHARACTERS:
            return False
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return False
        nodes = list(ast.walk(tree))
        libraries = dict(modules)
        for node in nodes:
            if isinstance(node, ast.Import):
                libraries.update((alias.asname or alias.name, alias.name) for alias in node.names)
        harmless = _parser_calls(nodes)
        return all(id(node) in harmless or self._node(node, libraries) for node in nodes)

    def reads(self, text: str) -> bool:
        """Whether sympy may evaluate `text`."""
        return (
            _READING.fullmatch(text) is not None
            and not _ACCESS.search(_EXPONENT.sub("1", text))
            and all(self._name(word) for word in _WORD.findall(text))
        )

    def _node(self, node: ast.AST, libraries: Mapping[str, str]) -> bool:
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                return self._name(name)
            case ast.Name(id=name) | ast.arg(arg=name):
                return _is_free(name)
            case ast.FunctionDef(name=name, decorator_list=decorators):
                return _is_free(name) and not decorators
            case ast.Attribute(value=ast.Name(id=base), attr=attribute, ctx=ast.Load()):
                if base in libraries:
                    return attribute in self._exports.get(libraries[base], ())
                return _is_method(attribute)
            case ast.Attribute(attr=attribute, ctx=ast.Load()):
                return _is_method(attribute)
            case ast.Attribute():
                return False
            case ast.Import(names=names):
                return all(alias.name in LIBRARIES and "." not in alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                return module in LIBRARIES and all(
                    (alias.name == "*" and LIBRARIES[module] is None and module.startswith("sympy"))
                    or (alias.name in self._exports[module] and _is_binding(alias))
                    for alias in names
                )
            case ast.ImportFrom():
                return False
        return isinstance(node, _NODES)

    def _name(self, name: str) -> bool:
        if not _is_name(name) or name in STATEFUL or name in self._sympy:
            return False
        return name in BUILTINS or not hasattr(builtins, name)


def _parser_calls(nodes: list[ast.AST]) -> set[int]:
    """The places where `globals` is called for the parser only."""
    return {
        id(argument.func)
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == PARSER
        for argument in node.args
        if isinstance(argument, ast.Call)
        and isinstance(argument.func, ast.Name)
        and argument.func.id == "globals"
        and not (argument.args or argument.keywords)
    }


def _is_name(name: str) -> bool:
    return not name.startswith("__")


def _is_free(name: str) -> bool:
    return _is_name(name) and name not in (PARSER, "globals")


def _is_method(name: str) -> bool:
    return name in METHODS or name.startswith("is_") or (name[:1].isupper() and name.isalpha())


def _is_binding(alias: ast.alias) -> bool:
    return alias.asname is None or _is_free(alias.asname)


def _is_stateless(value: Any) -> bool:
    return not isinstance(value, types.ModuleType | dict | list | set)
