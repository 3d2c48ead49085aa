"""What needs an extra is left out where that is not installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("deepspeed") else ["kpray/training/*"]
