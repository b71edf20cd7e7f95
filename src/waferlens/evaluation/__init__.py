"""How good a detector is: metrics with intervals, errors and their causes, exploration, one report."""
