"""Figures, contact sheets and images of cells."""
