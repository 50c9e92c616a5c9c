"""Rules, the audit, scores and the quarantine."""
