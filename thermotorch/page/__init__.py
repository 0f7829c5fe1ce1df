"""A trained machine as one self-contained HTML page, in which it runs: noise becomes digits in the browser."""
