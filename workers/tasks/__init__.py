"""Celery tasks, a module by area. A task translates and makes one call; it may run twice, late, or not at all."""
