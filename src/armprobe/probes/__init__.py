"""What users ask for: probes, their life cycle and the optimizer."""
