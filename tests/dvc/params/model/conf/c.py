"""Params of the net."""
import os

SEED: int = 1_000  # of everything


class Net:
    depth = 3
    names = ["a", 'b']


class Train:
    def __init__(self, x):
        self.rate = 0.5
        self.x = x
