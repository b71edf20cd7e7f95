"""Where people settle what the model doubts: queue, verdicts, agreement, blind audits, labels."""
