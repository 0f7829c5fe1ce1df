"""A comparison on disk: a page to look at, a text to read, and the numbers to compute with."""

from thermotorch.evaluation.report.write import report_data, write_report

__all__ = ["report_data", "write_report"]
