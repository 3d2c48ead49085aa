"""Starting Ray, the same way for every command."""

from __future__ import annotations

import logging
import os
import signal
import threading

# Ray announces a coming change of how it treats accelerators with a warning at every start; this is the
# behaviour to come. It must be set before ray is imported.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.data import DataContext


def start_ray(*, address: str | None = None, num_cpus: int | None = None) -> None:
    """Connect to a cluster, or start one on this machine.

    Args:
        address: ``local`` starts a cluster of its own; None joins the one that RAY_ADDRESS names (as in a
            submitted job) and starts its own where that is unset.
        num_cpus: Only for a cluster that is started here; None takes all.
    """
    if not ray.is_initialized():
        own = (address or os.environ.get("RAY_ADDRESS", "local")) == "local"
        ray.init(
            address="local" if own else address,
            num_cpus=num_cpus if own else None,
            include_dashboard=False if own else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    if threading.current_thread() is threading.main_thread():
        # Ray ends the process at once on SIGTERM; a scheduler's polite stop should be as orderly as Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def stop_ray() -> None:
    """Leave the cluster; one that was started here ends."""
    ray.shutdown()
