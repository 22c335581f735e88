"""Sweeps in processes of their own: several devices, several processes, and sudden death."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxsp import sweeps

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a worker, which keeps what it has compiled for the next one."""
    cache = tmp_path_factory.mktemp("compiled")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(WORKER.parents[2]), os.environ.get("PYTHONPATH", "")]),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    running = []

    def begin(*arguments):
        process = subprocess.Popen(
            [sys.executable, str(WORKER), *map(str, arguments)], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(*processes):
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert out.splitlines()[-1] == "finished"


def bits(store):
    data = sweeps.load(store)
    return {name: data[name].values.tobytes() for name in data}


def test_same_bits_on_one_and_four_devices_and_in_two_processes(start, tmp_path):
    one, four, two = (tmp_path / f"{name}.zarr" for name in ("one", "four", "two"))
    finish(start(one), start(four, "--devices", 4))
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    job = ["--processes", 2, "--devices", 2, "--port", port]
    finish(*(start(two, *job, "--process", process) for process in range(2)))
    assert not (sweeps.load(one).status.values == -1).any()
    assert bits(one) == bits(four) == bits(two)
    assert sweeps.load(two).attrs["processes"] == 2


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_the_numbers_are_those_of_a_quiet_run(start, tmp_path, times):
    quiet, killed = tmp_path / "quiet.zarr", tmp_path / "killed.zarr"
    rows = 20 * times
    finish(start(quiet, "--rows", rows))
    generator = np.random.default_rng(0)
    for _ in range(times):
        process = start(killed, "--rows", rows, "--pause", 0.01)
        # From its first chunk on, so that each run gets on, up to a random moment.
        assert process.stdout.readline().strip().isdigit(), process.stderr.read()
        time.sleep(generator.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
    missing = int((sweeps.load(killed).status.values == -1).sum())
    assert 0 < missing < 7 * rows
    finish(start(killed, "--rows", rows))
    assert bits(killed) == bits(quiet)
