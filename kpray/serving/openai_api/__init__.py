"""OpenAI's chat completions over HTTP: what comes in, what goes out, and how errors are told.

`requests` reads a body, `chat` makes `kpray.serving.types.ChatRequest` of it, `responses` writes an answer, `faults`
writes errors, `exchange` is one request's way from its first byte to its last, `holding` is what it holds meanwhile,
and `description` is the OpenAPI text of it all.
"""
