"""What is served over HTTP: the page, the API, health and metrics."""
