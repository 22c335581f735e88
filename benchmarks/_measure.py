"""How times are taken: warm, complete, side by side, and with what the machine was."""

import json
import os
import pathlib
import platform
import statistics
import time

import jax

import jaxsp

RESULTS = pathlib.Path(__file__).parent / "results"


def seconds(function, *arguments) -> float:
    """Wall-clock time of one call, to the end of its computation."""
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def alternate(repeats: int, **functions) -> dict[str, list[float]]:
    """Times of several functions called in turn, so that a slow moment of the machine meets them all.

    Each has one call before, which compiles it and is not counted.
    """
    return alternate_with_cpu(repeats, **functions)[0]


def alternate_with_cpu(repeats: int, **functions) -> tuple[dict, dict]:
    """The same, and beside them the processor's time of all threads, which other work disturbs less."""
    for function in functions.values():
        jax.block_until_ready(function())
    times = {name: [] for name in functions}
    processor = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            times[name].append(seconds(function))
            processor[name].append(time.process_time() - start)
    return times, processor


def summary(times: list[float]) -> dict[str, float]:
    """Median, fastest and slowest."""
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def ratio(times: list[float], base: list[float]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(times, base, strict=True))


def record(name: str, numbers: dict) -> None:
    """Print the numbers, and write them to `results/` with the machine and the versions."""
    numbers = {
        "benchmark": name,
        "numbers": numbers,
        "jaxsp": jaxsp.__version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "devices": [device.device_kind for device in jax.devices()],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(numbers, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
