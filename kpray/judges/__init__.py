"""Judges that can be asked: items of `kpray.scoring` in, judgements out, whoever needs them. No Ray inside.

`types` has what all judges can do, `geometric` and `model` the two of them; `asking` and `books` pay a judgement once,
and `connect` sets up a model judge of a configuration.
"""
