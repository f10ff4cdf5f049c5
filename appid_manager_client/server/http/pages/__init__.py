"""The page for people: what each product is doing, its line, its history, and how to step in.

Rendered here, and works without its script. It reads the data by which AppIDs are granted.
"""
