"""Reports: figures, evaluation.md, report.md and report.html."""
