"""Ray Serve applications: tuned models behind an OpenAI-compatible address, and the judge.

A request's way: `access` (key, size) -> `openai_api` (body -> `types.ChatRequest`) -> an engine of `engines` -> back
as a body or as server-sent events. `model_app` and `judge_app` put the pieces into Serve deployments.
"""
