"""Tests and doctests run in float64 on four CPU devices, with all annotations checked."""

import gc
import os
from pathlib import Path

# Almost all of the time goes into compiling: optimised code takes twice as long to make, and
# splitting each small program over threads doubles it again.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_backend_optimization_level=0",
    ]
)

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 4)

# Before the first import of the package: shapes and types are checked at every call in the tests.
with install_import_hook("jaxsp", "beartype.beartype"):
    import jaxsp  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Drop compiled programs when their memory maps, of which Linux allows 65530, get many.

    Beyond that number the next compilation ends the process.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()
        gc.collect()
