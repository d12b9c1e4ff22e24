"""What providers answer when they refuse a request, as bodies and as sentences."""
