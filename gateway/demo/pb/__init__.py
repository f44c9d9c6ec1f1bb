"""Generated from protos/demo/v1/ by protos/compile.py (`make protos`): edit the protos, never these files."""
