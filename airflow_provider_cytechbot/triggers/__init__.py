"""Triggers that wait in the triggerer; everything that waits on one campaign shares one poll."""
