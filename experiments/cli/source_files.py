"""Python files given by the user, which are loaded without bytecode."""

import importlib.util
import sys
import zlib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from jaxgan.errors import SetupError


class _FromSource(SourceFileLoader):
    """A loader that neither reads nor writes bytecode.

    Bytecode is matched with its source by size and by the time in seconds only, so it can be stale, and it
    would be written to a folder beside the user's file.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_module(path: Path) -> ModuleType:
    """Runs a Python file and returns its module.

    Args:
      path: Path of the file.

    Raises:
      SetupError: The file's name does not end in ``.py``.
    """
    if path.suffix != ".py":
        raise SetupError(f"{path} is not a Python file: give one that ends in .py")
    loader = _FromSource(f"_config_{path.stem}_{zlib.crc32(str(path.absolute()).encode())}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses, and therefore Flax's modules, look up the module in which they are defined.
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module
