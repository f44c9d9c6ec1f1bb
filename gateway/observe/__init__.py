"""What operators see: log.py tells events, which output.py writes, calls.py logs and counts calls, tracing.py and
spans.py trace them.
"""
