"""What it costs to kill everything that a run is made of, a hundred times over.

    python benchmarks/killing.py --kills 100 --requests 5000 --seed 1

See `tests/killing.py`, which does it: one run against a local API server on a Ray cluster of simulated nodes, killed
with SIGKILL at seeded random moments, and compared with an undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from killing import Killer

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        killer = Killer(Path(scratch), requests=arguments.requests, seed=arguments.seed)
        print(json.dumps(killer.run(arguments.kills), indent=2))
