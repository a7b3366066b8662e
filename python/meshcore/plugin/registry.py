"""Loads plugin files, and keeps the good generation when a new one is bad."""

import importlib.util
import itertools
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol

from meshcore.errors import PluginError, PluginRejected
from meshcore.plugin.hooks import HookSpec, specs_of

_generations = itertools.count(1)
# Of the process, so that a call that is under way never finds another hook under its number.
_hook_ids = itertools.count(1)


class Registered(Protocol):
    """A hook as the registry and the data plane see it, wherever it runs."""

    @property
    def id(self) -> int:
        """Its number."""
        ...

    @property
    def order(self) -> int:
        """Hooks are called from low to high."""
        ...

    @property
    def callee(self) -> object:
        """Its function, or what stands for it."""
        ...

    def to_model(self) -> dict[str, object]:
        """Returns it as the mesh model writes it, ready for JSON."""
        ...


class Loaded(Protocol):
    """A plugin whose hooks may be called, wherever it runs."""

    @property
    def name(self) -> str:
        """Name of its file as a module."""
        ...

    @property
    def path(self) -> str:
        """Its file."""
        ...

    @property
    def hooks(self) -> Sequence[Registered]:
        """Its hooks."""
        ...

    def forget(self) -> None:
        """It is not in force any more."""
        ...


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook in force: its number, and what the data plane and Python know of it."""

    id: int
    plugin: str
    spec: HookSpec

    @property
    def name(self) -> str:
        """`plugin.function`."""
        return f"{self.plugin}.{self.spec.name}"

    @property
    def order(self) -> int:
        """Hooks are called from low to high."""
        return self.spec.options.order

    @property
    def callee(self) -> Callable[..., object]:
        """Its function."""
        return self.spec.function

    def to_model(self) -> dict[str, object]:
        """Returns the hook as the mesh model writes it, ready for JSON."""
        return self.spec.to_model(self.id, self.plugin)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One generation of a plugin file."""

    name: str
    path: str
    generation: int
    hooks: tuple[Hook, ...]
    module: ModuleType = field(repr=False, compare=False)

    @property
    def is_isolated(self) -> bool:
        """Whether one of its hooks wants a process of its own, and so all of them."""
        return any(hook.spec.options.is_isolated for hook in self.hooks)

    def forget(self) -> None:
        """It is not in force any more."""
        sys.modules.pop(self.module.__name__, None)


@dataclass(slots=True)
class Registry:
    """The plugins in force, by the path of their file."""

    _plugins: dict[str, Loaded] = field(default_factory=dict)

    def load(self, path: str, loader: "Callable[[str], Loaded] | None" = None) -> Loaded:
        """Imports a plugin file and puts its hooks in force, in place of the ones it had.

        It is loaded into this process, unless there is another loader.

        Raises:
            PluginRejected: The file cannot be imported or declares no sound hooks. The
                generation that was in force stays.
        """
        name = plugin_name(path)
        for other in self._plugins.values():
            if other.name == name and other.path != path:
                raise PluginRejected(f"{path}: plugin {name} is loaded from {other.path} already")
        plugin = (loader or load)(path)
        before = self._plugins.get(path)
        self._plugins[path] = plugin
        if before is not None:
            before.forget()
        return plugin

    def unload(self, path: str) -> None:
        """Forgets a plugin; nothing happens if it is not loaded."""
        plugin = self._plugins.pop(path, None)
        if plugin is not None:
            plugin.forget()

    @property
    def plugins(self) -> tuple[Loaded, ...]:
        """The plugins in force, in the order they were first loaded."""
        return tuple(self._plugins.values())

    def hooks(self) -> list[Registered]:
        """Returns all hooks in the order they are called."""
        every = (hook for plugin in self._plugins.values() for hook in plugin.hooks)
        return sorted(every, key=lambda hook: hook.order)


def to_native(hooks: Iterable[Registered]) -> tuple[bytes, list[tuple[int, object]]]:
    """Returns hooks as the data plane takes them: JSON, and what they are called by, by number."""
    hooks = list(hooks)
    model = json.dumps([hook.to_model() for hook in hooks], ensure_ascii=False)
    return model.encode(), [(hook.id, hook.callee) for hook in hooks]


def new_hook_id() -> int:
    """Returns a number that no other hook has had."""
    return next(_hook_ids)


def load(path: str, source: bytes | None = None) -> Plugin:
    """Imports a plugin file under a fresh module name and returns its hooks.

    Args:
        path: The file.
        source: What is in it; read from the file if left out.

    Raises:
        PluginRejected: The file cannot be imported, or declares no hook. Names file and line.
    """
    name, generation = plugin_name(path), next(_generations)
    module = _execute(path, f"_meshcore_plugin_{name}_{generation}", source)
    specs = _collect(module)
    if not specs:
        sys.modules.pop(module.__name__, None)
        raise PluginRejected(
            f"{path}: no hook found, decorate a function with @authorize, @route, @on_request,"
            " @on_response or @telemetry of meshcore.plugin"
        )
    specs.sort(key=lambda spec: spec.options.order)
    hooks = tuple(Hook(new_hook_id(), name, spec) for spec in specs)
    return Plugin(name, path, generation, hooks, module)


def plugin_name(path: str) -> str:
    """Returns the name of a plugin file as a module.

    Raises:
        PluginRejected: It cannot be a module's.
    """
    stem = path.rpartition("/")[2].removesuffix(".py")
    name = stem.replace("-", "_")
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise PluginRejected(f"{path}: name the file as a module, such as tenant_policy.py")
    return name


def _execute(path: str, module_name: str, source: bytes | None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise PluginRejected(f"{path}: not a Python file, its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        if source is None:
            spec.loader.exec_module(module)
        else:
            exec(compile(source, path, "exec"), vars(module))  # noqa: S102 - as importing does
    except BaseException as error:
        sys.modules.pop(module_name, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginRejected(_describe(path, error)) from error
    return module


def _describe(path: str, error: BaseException) -> str:
    """Returns what went wrong, with the last line of the plugin that led to it."""
    if isinstance(error, FileNotFoundError) and error.filename == path:
        return f"{path}: file not found"
    if isinstance(error, PluginError):
        text = str(error)
        return text if text.startswith(path) else f"{_place(path, error)}: {text}"
    if isinstance(error, SyntaxError) and error.filename == path:
        return f"{path}:{error.lineno}: {error.msg}"
    return f"{_place(path, error)}: {type(error).__name__}: {error}"


def _place(path: str, error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def _collect(module: ModuleType) -> list[HookSpec]:
    """Returns the hooks that a module has, its own and those it imported, each once."""
    specs: dict[int, HookSpec] = {}
    for value in vars(module).values():
        for spec in specs_of(value):
            specs.setdefault(id(spec), spec)
    return list(specs.values())
