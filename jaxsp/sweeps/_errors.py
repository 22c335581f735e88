"""How a sweep fails."""


class SweepError(RuntimeError):
    """A function cannot be swept; the message says why."""


class StoreMismatchError(ValueError):
    """A store holds another sweep; the message says what differs."""


class StoreError(OSError):
    """A store cannot be written to. What it holds already is kept."""
