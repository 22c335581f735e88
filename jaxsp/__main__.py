"""The command line: `jaxsp list`, `jaxsp reproduce`."""

import os
import sys
from pathlib import Path

_EXTRA = 'The command line needs an extra: python -m pip install "jaxsp[figures]" (missing: {}).'


def main() -> None:
    """Run the command line; say which extra to install if a library is missing."""
    _compile_fast()
    try:
        from ._cli import app
    except ModuleNotFoundError as error:
        print(_EXTRA.format(error.name), file=sys.stderr)
        sys.exit(2)
    app()


def _compile_fast() -> None:
    """Set up the compiler for a program that compiles much and runs each piece once.

    Code that is not optimised is made in half the time, and what has been compiled is kept for the
    next run. Both give way to the user's own settings.
    """
    import jax

    level = "--xla_backend_optimization_level"
    flags = os.environ.get("XLA_FLAGS", "")
    if level not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {level}=0"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(caches / "jaxsp"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


if __name__ == "__main__":
    main()
