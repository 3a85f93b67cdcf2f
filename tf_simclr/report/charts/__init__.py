"""Charts as inline SVG: sharp at any size, in the colors of the page."""
