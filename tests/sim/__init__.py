"""The simulator: the scheduler and the fake engine of the product, in virtual time."""
