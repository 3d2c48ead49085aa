"""A run on one HTML page that needs no server and no network: what became of it, and a gallery to look through."""

from kpray.reports.run_report.report import Report, make_report

__all__ = ["Report", "make_report"]
