"""The model that ships with kpray, so that training, serving and benchmarks run without a download.

``tiny_base/`` is a Hugging Face folder. ``jobs/make_tiny_base.py`` makes it; docs/tiny_model.md says how.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

TINY_BASE: Final = "tiny-base"
"""What configurations and commands call it."""


def model_path(name: str) -> str:
    """Where transformers finds a model.

    Args:
        name: `TINY_BASE`, a folder, or a hub's name; the last two are returned as they are. A folder of that name goes
            before the model that ships.

    Returns:
        A folder or a hub's name. It is looked up in each process anew: nodes may have kpray in different places.
    """
    if name == TINY_BASE and not Path(name).exists():
        return str(Path(__file__).parent / "tiny_base")
    return name
