"""Finished artifacts, read: trained runs, their evaluations, and models to ask."""
