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

SYMPY = _words(
    "Abs Add And Contains Derivative E Eq EulerGamma Expr FiniteSet Float Ge GoldenRatio Gt I"
    " Integer Integers Integral Intersection Interval Lambda Le Limit Lt Matrix Max Min Mod Mul N"
    " Naturals Naturals0 Ne Not Number Or Order Piecewise Poly Pow Product Range Rational Reals S"
    " Sum Symbol Tuple Union Xor acos acosh acot acsc apart arg asec asin asinh atan atan2 atanh"
    " bell bernoulli beta binomial cancel catalan cbrt ceiling collect combsimp conjugate cos cosh"
    " cot count_ops csc degree denom diff digamma digits diophantine discrete_log discriminant div"
    " divisor_count divisor_sigma divisors erf exp expand expand_func expand_log expand_mul"
    " expand_power_base expand_power_exp expand_trig eye factor factor_list factor_terms factorial"
    " factorial2 factorint false ff fibonacci floor frac fraction gamma gammasimp gcd gcd_list"
    " gcdex ground_roots half_gcdex harmonic hyperexpand igcd ilcm im integer_nthroot integrate"
    " interpolate invert is_perfect is_primitive_root is_quad_residue isprime jacobi_symbol lcm"
    " lcm_list legendre_symbol limit linear_eq_to_matrix linsolve ln log logcombine loggamma lucas"
    " mobius mod_inverse multiplicity n_order nan nextprime nonlinsolve nroots nsimplify"
    " npartitions numer ones oo partition perfect_power pi poly poly_from_expr posify powdenest"
    " powsimp prem prevprime prime primefactors primenu primeomega primepi primerange primitive"
    " prod product quo radsimp ratsimp re real_roots reduce_inequalities reduced rem residue"
    " resultant rf root roots rsolve sec separatevars series sign signsimp simplify sin sinc sinh"
    " solve solve_linear solve_linear_system solve_poly_inequality solve_rational_inequalities"
    " solve_univariate_inequality solveset sqf_list sqrt sqrtdenest subfactorial summation symbols"
    " sympify tan tanh terms_gcd together totient trailing tribonacci trigsimp true trunc zeros"
    " zoo"
)
"""Names of sympy that act on their arguments alone. What makes classes (`Function`), holds what it
is given as it is (`Basic`), or acts at large is not among them."""

LIBRARIES: dict[str, frozenset[str] | None] = {
    "sympy": SYMPY,
    "sympy.abc": None,
    "sympy.ntheory": SYMPY,
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
    " total_degree LC LM TC nth cols rows row col div rem quo gcd eval compose T H I One Zero Half"
    " NegativeOne Infinity NegativeInfinity NaN Pi Exp1 ImaginaryUnit Reals Integers Naturals"
    " Naturals0 Rationals Complexes EmptySet is_algebraic is_commutative is_complex is_composite"
    " is_constant is_empty is_even is_extended_real is_finite is_imaginary is_infinite is_integer"
    " is_irrational is_irreducible is_monic is_negative is_nonnegative is_nonpositive is_nonzero"
    " is_number is_odd is_polynomial is_positive is_prime is_proper_subset is_rational"
    " is_rational_function is_real is_square is_subset is_superset is_symbol is_symmetric is_zero"
    " is_Add is_Atom is_Float is_Function is_Integer is_Matrix is_Mul is_Number is_Poly is_Pow"
    " is_Rational is_Relational is_Symbol is_alpha"
)
"""Attributes of values that plain code reads; none leads to a class's own tables."""

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
            self._exports[name] = frozenset(
                key
                for key in names
                if _is_name(key) and key in values and _is_stateless(values[key])
            )
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
        bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        return all(
            id(node) in harmless
            # A module is looked into, never handed on: under another name its own could be read.
            or (self._node(node, libraries) and (id(node) in bases or not _is_any(node, libraries)))
            for node in nodes
        )

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
                    (alias.name == "*" and module.startswith("sympy"))
                    or (alias.name in self._exports[module] and _is_binding(alias))
                    for alias in names
                )
            case ast.ImportFrom():
                return False
        return isinstance(node, _NODES)

    def _name(self, name: str) -> bool:
        if not _is_name(name) or name in self._sympy:
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
    return name in METHODS


def _is_any(node: ast.AST, names: Mapping[str, str]) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names


def _is_binding(alias: ast.alias) -> bool:
    return alias.asname is None or _is_free(alias.asname)


def _is_stateless(value: Any) -> bool:
    return not isinstance(value, types.ModuleType | dict | list | set)
