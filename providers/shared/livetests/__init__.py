"""What the live tests of several packages need: waiting, processes, programs of the system."""
