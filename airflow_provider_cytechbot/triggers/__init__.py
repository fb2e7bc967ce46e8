"""Triggers that wait in the triggerer. All triggers of one campaign share one poll."""
