"""The HTTP server: predictions, the Open Inference Protocol, and the page one looks inside with."""
