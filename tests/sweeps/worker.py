"""A sweep in a process of its own, which tests start, stop and kill.

python worker.py STORE [--devices N] [--process I --processes N --port P] [--chunks N]
"""

import argparse

import jax

parser = argparse.ArgumentParser()
parser.add_argument("store")
parser.add_argument("--devices", type=int, default=1)
parser.add_argument("--processes", type=int, default=1)
parser.add_argument("--process", type=int, default=0)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--rows", type=int, default=12)
parser.add_argument("--pause", type=float, default=0.0)


def function(x, y, key):
    """A data-dependent loop, transcendental functions, and a random number."""

    def step(state):
        value, steps = state
        return jax.numpy.cos(value + x) * y, steps + 1

    def unfinished(state):
        value, steps = state
        return (jax.numpy.abs(jax.numpy.cos(value + x) * y - value) > 1e-12) & (steps < 1000)

    start = jax.numpy.zeros_like(x), jax.numpy.asarray(0)
    value, steps = jax.lax.while_loop(unfinished, step, start)
    noise = jax.random.normal(key, dtype=x.dtype)
    return {"value": value, "steps": steps, "noise": noise, "powers": value ** jax.numpy.arange(3)}


def grid(rows):
    """A grid with chunks that do not fill it, nor their batches, nor the devices."""
    from jaxsp import sweeps

    y = jax.numpy.linspace(0.1, 0.9, rows)
    return sweeps.Grid({"x": [0.1, 0.3, 0.4, 0.7, 0.9, 1.2, 1.3], "y": y})


def main():
    """Run the sweep; say when it begins."""
    import time

    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", args.devices)
    if args.processes > 1:
        jax.distributed.initialize(f"localhost:{args.port}", args.processes, args.process)
    from jaxsp import sweeps

    def tell(progress):
        print(progress.done, flush=True)
        time.sleep(args.pause)

    sweeps.run(
        function, grid(args.rows), store=args.store, chunk_size=5, batch_size=2, progress=tell
    )
    print("finished", flush=True)


if __name__ == "__main__":
    main()
