"""Figures, the contact sheet, and pictures of cells' images."""
