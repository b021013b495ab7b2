"""A small orchestrator beside a Folkmoot sidecar: plans come in by HTTP, an elected scheduler turns them into work items,
workers on every node carry them out.

Nothing is kept here: plans, items, models and locks live in the group of the sidecars, so that any process of this example
can be killed at any time.
"""
