"""Drives a Python target by coverage, with libFuzzer's options: guided TARGET [OPTION|DIR]..."""

import sys

import atheris

with atheris.instrument_imports(include=["meshcore.config"]):
    from fuzz import documents, trees

# Of the inputs, as many are changed as bytes.
_BYTES_ONE_IN = 4


def _mutated(data: bytes, max_size: int, seed: int) -> bytes:
    if seed % _BYTES_ONE_IN:
        made = trees.changed(data, seed)
        if len(made) <= max_size:
            return made
    return bytes(atheris.Mutate(data, max_size))


def main() -> None:
    """Fuzzes until an option says that it is enough, or something is found."""
    target, *options = sys.argv[1:]
    arguments = [sys.argv[0], "-max_len=4096", *options]
    atheris.Setup(arguments, documents.TARGETS[target], custom_mutator=_mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
