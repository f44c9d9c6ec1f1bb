"""What sends calls to a subject.

traffic.py    one kind of call, and what a right answer is
wrk.py        as many as the subject takes, over HTTP/1.1 (wrk.lua)
h2load.py     the same over HTTP/2
paced.py      so many a second, and how long each took from the moment it was due
  link.py       a connection that never blocks
  http1.py      calls over HTTP/1.1
  http2.py      calls over HTTP/2
streams.py    server streams by asyncio
"""
