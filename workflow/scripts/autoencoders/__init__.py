"""Everything that the rules' scripts call: plain functions, one purpose a module."""
