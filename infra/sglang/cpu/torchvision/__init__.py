"""Stand-in for torchvision, for import only.

SGLang and transformers import image processors while loading any model. The published
wheel of torchvision is built for CUDA and breaks next to a CPU torch, and this project
loads no model that sees images. So every submodule and every name can be imported, and
nothing can be used: calling anything raises.

On the path of the SGLang process only, and only where there is no GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

__version__ = "0.28.0"


class _Enumeration(type):
    """A class whose every attribute is its own qualified name, like a member of an enum."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class _Anything(ModuleType):
    """A module that has every name, and that cannot be called."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            return _Enumeration(name, (), {})
        return _Anything(f"{self.__name__}.{name}")

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(f"{self.__name__}: torchvision is not installed")


class _Finder(MetaPathFinder, Loader):
    """Finds every `torchvision.…`."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname.startswith(f"{__name__}."):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Anything(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


sys.meta_path.append(_Finder())


def __getattr__(name: str) -> Any:
    return getattr(_Anything(__name__), name)
