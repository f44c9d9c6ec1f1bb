"""What operators see: log.py writes events, calls.py logs and counts each call."""
