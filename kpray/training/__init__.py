"""Fine-tuning: datasets in LLaVA's form and a vision-language model in, a tuned model out.

A run prepares its data once, lays down which samples every optimizer step sees, and then trains under Ray Train with
DeepSpeed. The plan of steps depends on the data and the seed alone, not on how many workers there are, so a run that
was stopped, or goes on with other workers, sees every sample exactly once an epoch.
"""
