"""What ``make bench`` runs: speed side by side with peers, and evidence on data."""
