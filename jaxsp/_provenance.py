"""What made a file: versions, precision, devices, command and time."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def provenance() -> dict[str, str]:
    """The attributes that every data file of the library carries."""
    import jax

    import jaxsp

    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "jaxsp": jaxsp.__version__,
        "commit": commit or "unknown",
        "jax": jax.__version__,
        "python": platform.python_version(),
        "precision": "float64" if jax.config.read("jax_enable_x64") else "float32",
        "devices": ", ".join(device.device_kind for device in jax.local_devices()),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
