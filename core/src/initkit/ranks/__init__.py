"""Models that several processes hold together: DTensor parameters, data-parallel copies."""
