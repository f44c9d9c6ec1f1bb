"""What operators see: log.py writes events, calls.py logs and counts calls, tracing.py and spans.py trace them."""
