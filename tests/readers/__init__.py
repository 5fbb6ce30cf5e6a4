"""Readers that nobody here wrote, on what ebtop exports. Run by hand: python -m tests.readers"""
