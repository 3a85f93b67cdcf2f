"""What people read: figures, evaluation.md, report.md and report.html."""
