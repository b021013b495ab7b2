"""Drives the orchestrator of three nodes through faults, and counts what came of each task."""
