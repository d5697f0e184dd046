"""A user's own network: the function that a recipe names, "package.module:function", and the net that it returns.

A factory is imported because the user's recipe or call names it. A .sqz file never names code that is run.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

import torch
from torch import Tensor, nn

from compress.errors import RecipeError


def import_factory(name: str) -> Callable[[], nn.Module]:
    """The object that "package.module:function" names; the function may be dotted ("nets:Small.build").

    The working directory is importable meanwhile, as with `python -m`. Raises RecipeError for a name of another form, a
    module that does not exist or that raises, and for what is no attribute of it or cannot be called.
    """
    module_name, colon, path = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), *path.split(".")]):
        raise RecipeError(f"model.factory: {name}: must be package.module:function")
    found: object = _import(name, module_name)
    where = f"{module_name} ({getattr(found, '__file__', None) or 'built in'})"
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise RecipeError(f"model.factory: {name}: {where} has no attribute {part!r}") from error
        where = part
    if isinstance(found, nn.Module):
        raise RecipeError(f"model.factory: {name}: is a net, {type(found).__name__}; name a function that returns one")
    if not callable(found):
        raise RecipeError(f"model.factory: {name}: is a {type(found).__name__}, must be a function that returns a net")
    return found


def build_from(factory: Callable[[], nn.Module], name: str) -> nn.Module:
    """Call a factory without arguments: a copy of its net, in eval mode, floating-point tensors made float32. name: for errors.

    Raises RecipeError where the factory raises, where what it returns is no net or cannot be copied, and where the net has a
    tensor that a file cannot hold, or could not give back to it: see _check_tensors.
    """
    with _working_directory_importable():
        try:
            net = factory()
        except (Exception, SystemExit) as error:
            raise RecipeError(f"model.factory: {name}: raised {_described(error)}") from error
    if not isinstance(net, nn.Module):
        raise RecipeError(f"model.factory: {name}: returned a {type(net).__name__}, must return a torch.nn.Module")
    if isinstance(net, torch.jit.ScriptModule):
        raise RecipeError(f"model.factory: {name}: returned a net compiled by torch.jit; return the module that it was made of")
    _check_tensors(net, name)
    net = copied(net, name)  # it may be the caller's own
    net.eval()  # in two steps: a user's own eval() may return nothing
    return net.float()


def copied(net: nn.Module, name: str) -> nn.Module:
    """A copy: every stage changes one of its own, and a factory may return the same net at each call. name: of the factory,
    for the message. Raises RecipeError for a net that cannot be copied."""
    try:
        return copy.deepcopy(net)
    except Exception as error:  # whatever a module or an attribute of it raises
        raise RecipeError(
            f"model.factory: {name}: the net must be one that copy.deepcopy can copy ({_described(error)})"
        ) from error


def _import(name: str, module_name: str) -> ModuleType:
    importlib.invalidate_caches()  # a module written a moment ago, by a notebook for instance, is found
    with _working_directory_importable():
        try:
            return importlib.import_module(module_name)
        except (Exception, SystemExit) as error:  # a script that parses its arguments when imported exits
            absent = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")  # or a parent
            cause = f"{error} in the working directory or installed" if absent else f"on import: {_described(error)}"
            raise RecipeError(f"model.factory: {name}: {cause}") from error


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """What the user's code itself does to sys.path stays."""
    sys.path.insert(0, "")  # "" is the working directory, whichever it is
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove("")


def _check_tensors(net: nn.Module, name: str) -> None:
    """Every entry of the state dict is a parameter or buffer of its own with values, floating point or (buffers) int64.

    Tied weights are refused: a file has one tensor a name, and each would be compressed for itself.
    """
    if next(net.parameters(), None) is None:
        raise RecipeError(f"model.factory: {name}: {type(net).__name__} has no parameters")
    parameters = dict(net.named_parameters(remove_duplicate=False))
    buffers = dict(net.named_buffers(remove_duplicate=False))
    owners: dict[int, str] = {}  # address of the first value -> name
    for key, tensor in net.state_dict(keep_vars=True).items():
        if key not in parameters and key not in buffers:
            raise RecipeError(f"model.factory: {name}: {key} is in the state dict, but is no parameter and no buffer")
        problem = _problem(tensor, is_parameter=key in parameters)
        if problem:
            raise RecipeError(f"model.factory: {name}: {key} {problem}")
        if tensor.numel() and owners.setdefault(tensor.data_ptr(), key) != key:
            raise RecipeError(
                f"model.factory: {name}: {owners[tensor.data_ptr()]} and {key} are one tensor; "
                "tied weights and modules with two names are not supported"
            )


def _problem(tensor: Tensor, *, is_parameter: bool) -> str:
    """What a file cannot hold about a tensor, empty where it can."""
    if nn.parameter.is_lazy(tensor):
        return "has no shape yet; call the net once on an input in the factory, or give the layer its sizes"
    if tensor.is_meta:
        return "is on the meta device and has no values"
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized:
        return f"is a {type(tensor).__name__}, {tensor.dtype}, {tensor.layout}; must be a plain dense tensor"
    if not tensor.is_floating_point() and (is_parameter or tensor.dtype != torch.int64):
        allowed = "must be floating point" if is_parameter else "must be floating point or int64, or persistent=False"
        return f"is {tensor.dtype}, {allowed}"
    return ""


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
