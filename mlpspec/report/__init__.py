"""Showing results: tables of figures, figures, pages and cards."""
