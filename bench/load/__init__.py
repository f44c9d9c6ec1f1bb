"""What sends calls to a subject.

traffic.py    one kind of call, and what a right answer is
wrk.py        as many as the subject takes, over HTTP/1.1 (wrk.lua)
h2load.py     the same over HTTP/2, and streams
paced.py      so many a second, and how long each took from the moment it was due
held.py       streams that stay open
  client.py     a connection as both of them see it
  http1.py      calls over HTTP/1.1
  http2.py      calls over HTTP/2
  link.py       bytes, without ever blocking
"""
