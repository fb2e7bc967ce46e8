"""Sensors that wait for answers to a flow campaign."""
