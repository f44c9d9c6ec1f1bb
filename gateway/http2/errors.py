"""Error codes of HTTP/2 (RFC 9113, section 7)."""

from ngh2 import ErrorCode

NO_ERROR = int(ErrorCode.NO_ERROR)
PROTOCOL_ERROR = int(ErrorCode.PROTOCOL_ERROR)
INTERNAL_ERROR = int(ErrorCode.INTERNAL_ERROR)
REFUSED_STREAM = int(ErrorCode.REFUSED_STREAM)
CANCEL = int(ErrorCode.CANCEL)
ENHANCE_YOUR_CALM = int(ErrorCode.ENHANCE_YOUR_CALM)


def error_name(code: int) -> str:
    """For logs; codes that nobody has defined are allowed."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"0x{code:x}"
