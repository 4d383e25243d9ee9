"""Pure functions that measure: neighbours, probes, distances of distributions, calibration, intervals."""
