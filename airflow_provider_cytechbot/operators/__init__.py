"""Operators that write to CyTechBot, one module for each resource."""
