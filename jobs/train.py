"""Fine-tune a model on a cluster.

    ray job submit --working-dir . -- python jobs/train.py --config jobs/configs/train.yaml --data s3://bucket/runs/data

Further flags are those of `kpray train`; `--out`, `--data` and the images must be paths that every node of the cluster
reaches.
"""

from __future__ import annotations

import sys

from kpray.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
