"""OpenAI's Batch API: a run's requests are sent in bulk, at half the price, and the replies fill its ledger."""

from kpray.pipelines.batch_fill.fill import fill_by_batch
from kpray.pipelines.batch_fill.report import BatchProgress, BatchReport, PartProgress

__all__ = ["BatchProgress", "BatchReport", "PartProgress", "fill_by_batch"]
