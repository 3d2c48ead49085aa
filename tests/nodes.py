"""A Ray cluster of several simulated nodes on this machine, in a process of its own, told what to do on stdin.

    python tests/nodes.py --nodes 2

Prints its address; ``replace`` kills one node with SIGKILL and adds another.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed within two seconds instead of fourteen."""


class Nodes:
    """The cluster as seen from the process that wants it."""

    def __init__(self, *, nodes: int) -> None:
        command = [sys.executable, __file__, "--nodes", str(nodes)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self._line()

    def replace_one(self) -> None:
        """Kill a node, and wait until another has taken its place."""
        assert self.process.stdin is not None
        self.process.stdin.write("replace\n")
        self.process.stdin.flush()
        assert self._line() == "replaced"

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the cluster did not come up"
        return line


def _serve(nodes: int) -> None:
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH, "include_dashboard": False}
    )
    workers = [cluster.add_node(num_cpus=2, include_dashboard=False) for _ in range(nodes)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "replace":
            victim = workers.pop(random.randrange(len(workers)))
            cluster.remove_node(victim, allow_graceful=False)
            workers.append(cluster.add_node(num_cpus=2, include_dashboard=False))
            print("replaced", flush=True)
    cluster.shutdown()


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    """A cluster for `with`."""
    cluster = Nodes(nodes=count)
    try:
        yield cluster
    finally:
        cluster.process.communicate(timeout=60)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=2)
    _serve(parser.parse_args().nodes)
