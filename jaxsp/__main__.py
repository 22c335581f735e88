"""The command line: `jaxsp list`, `jaxsp reproduce`, `jaxsp sweep`, `jaxsp plot`."""

import os
import sys
from pathlib import Path

_EXTRA = 'The command line needs an extra: python -m pip install "jaxsp[figures]" (missing: {}).'


def main() -> None:
    """Run the command line; say which extra to install if a library is missing."""
    if "sweep" in sys.argv[1:2]:
        _compute_fast()
    _keep_compiled()
    try:
        from ._cli import app
    except ModuleNotFoundError as error:
        print(_EXTRA.format(error.name), file=sys.stderr)
        sys.exit(2)
    app()


def _compute_fast() -> None:
    """For a program that runs one piece many times: each core a device."""
    import jax

    if jax.config.jax_num_cpu_devices in (None, -1):
        jax.config.update("jax_num_cpu_devices", os.cpu_count())


def _keep_compiled() -> None:
    """Keep what has been compiled for the next run, unless the user has settings of their own."""
    import jax

    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(caches / "jaxsp"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


if __name__ == "__main__":
    main()
