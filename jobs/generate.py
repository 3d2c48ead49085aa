"""Make a dataset on a cluster.

    ray job submit --working-dir . -- python jobs/generate.py --config jobs/configs/generate.yaml

Further flags are those of `kpray generate`; `--out` must be a path that every node of the cluster reaches.
"""

from __future__ import annotations

import sys

from kpray.cli import main

if __name__ == "__main__":
    main(["generate", *sys.argv[1:]])
