"""What needs an extra is left out where that is not installed."""

from importlib.util import find_spec

collect_ignore_glob = ["kpray/serving/engines/vllm_engine.py"]  # imports vLLM, which has an environment of its own
if not (find_spec("torch") and find_spec("deepspeed")):
    collect_ignore_glob.append("kpray/training/*")
if not find_spec("fastapi"):
    collect_ignore_glob.append("kpray/serving/*")
