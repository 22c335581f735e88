"""The command line: `jaxsp list`, `jaxsp reproduce`."""

import sys

_EXTRA = 'The command line needs an extra: python -m pip install "jaxsp[figures]" (missing: {}).'


def main() -> None:
    """Run the command line; say which extra to install if a library is missing."""
    try:
        from ._cli import app
    except ModuleNotFoundError as error:
        print(_EXTRA.format(error.name), file=sys.stderr)
        sys.exit(2)
    app()


if __name__ == "__main__":
    main()
