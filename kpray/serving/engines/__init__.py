"""What answers chat requests behind the address: `transformers_engine` anywhere, `vllm_engine` on GPUs.

`choose` says which of them a model gets. Inside the first, a request becomes a prompt (`prompts`), the prompt a row
of the one batch that is under way (`rows`, `batch`, `scheduler`), and its tokens text (`text`).
"""
