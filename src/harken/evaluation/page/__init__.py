"""A report as one page that people read, listen to and hand on."""
