"""PPM service: scores partial solutions."""
