"""Data: named random streams, data sets, targets and tables from files."""
