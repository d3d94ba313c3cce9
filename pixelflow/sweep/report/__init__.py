"""What comes out: results, plots and the page."""
