"""A service mesh as a Python package: Rust moves bytes, Python says what is wanted."""

TYPE_CHECKING = False  # as type checkers know it; `typing` would take memory in each process
if TYPE_CHECKING:
    __version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Reads the version from the installed distribution, when somebody asks for it."""
    if name != "__version__":
        raise AttributeError(f"module 'meshcore' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import

    try:
        return version("meshcore-servicemesh")
    except PackageNotFoundError:
        return "0+unknown"  # run from a source tree that was not installed
