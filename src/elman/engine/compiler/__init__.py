"""From a cell in Python to a program: what a step computes, and its gradient, as instructions."""
