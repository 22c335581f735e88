"""Processes that make figures, with the settings of this one, and its progress bars."""

import itertools
import multiprocessing
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax

# Not threads: most of a figure's time is JAX's tracing and compiling, which is Python's, so that two
# threads would wait for each other.
_SPAWN = multiprocessing.get_context("spawn")
_SETTINGS = (
    "jax_enable_x64",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)
_numbers = itertools.count()
# In a worker: where its news goes.
_news: Any = None


@contextmanager
def workers(count: int, progress: Callable[[Iterable, str], Iterator]) -> Generator[Executor]:
    """Processes whose tasks may call `relayed`, which is then shown by `progress` here."""
    news = _SPAWN.Queue()
    listener = threading.Thread(target=_show, args=(news, progress), daemon=True)
    listener.start()
    settings = {name: getattr(jax.config, name) for name in _SETTINGS}
    try:
        with ProcessPoolExecutor(count, _SPAWN, _begin, (news, settings)) as pool:
            yield pool
    finally:
        news.put(None)
        listener.join()


def relayed(steps: Iterable, description: str) -> Iterator:
    """In a worker: the steps, each reported to the process that began it."""
    steps = list(steps)
    # Two workers may count alike.
    name = (multiprocessing.current_process().name, next(_numbers))
    _news.put((name, description, len(steps)))
    for step in steps:
        yield step
        _news.put((name, None, None))


def _begin(news: Any, settings: dict[str, Any]) -> None:
    global _news
    _news = news
    for name, value in settings.items():
        jax.config.update(name, value)


def _show(news: Any, progress: Callable[[Iterable, str], Iterator]) -> None:
    """Turn the workers' news into steps of bars, until there is `None`."""
    bars = {}
    while (message := news.get()) is not None:
        name, description, total = message
        if description is not None:
            bars[name] = progress(range(total), description)
        next(bars[name], None)
