"""Running a study: plan, workers, cluster, provenance."""
