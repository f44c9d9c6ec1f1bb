-- The calls that wrk sends, and whether each ended as it should. Argument: the folder that wrk.py has filled.
-- wrk alone would count any HTTP 200, and a gRPC call that fails is one.
-- What is right is written in traffic.py: this is Traffic.mistake once more.

local TRAILERS = 0x80
local FRAME_HEAD = 5

local threads = {} -- wrk.py asks for one

local function read(folder, name)
  local file = io.open(folder .. "/" .. name, "rb")
  if not file then return nil end
  local content = file:read("*a")
  file:close()
  return content
end

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local folder = arguments[1]
  wrong = 0
  first_wrong = ""
  overdrawn = 0
  expected = read(folder, "status")
  reply = read(folder, "reply")
  ending = "grpc-status:" .. expected .. "\r\n"
  wrk.method = "POST"
  wrk.body = read(folder, "body")
  for name, value in read(folder, "headers"):gmatch("([^\n:]+): ([^\n]+)\n") do
    wrk.headers[name] = value
  end
  local list = read(folder, "tokens")
  if list then
    local tokens, used = {}, 0
    for token in list:gmatch("[^\n]+") do
      table.insert(tokens, token)
    end
    request = function()
      used = used + 1
      if used > #tokens then overdrawn = overdrawn + 1 end
      wrk.headers["authorization"] = "Bearer " .. tokens[(used - 1) % #tokens + 1]
      return wrk.format()
    end
  end
end

local function ended_in_trailers(body)
  local at = body:find(ending, #reply + FRAME_HEAD + 1, true)
  return at and (at == #reply + FRAME_HEAD + 1 or body:sub(at - 2, at - 1) == "\r\n")
end

local function right(status, headers, body)
  if expected ~= "0" and #body == 0 and headers["grpc-status"] == expected then return true end
  return status == 200
    and (#reply == 0 or body:find(reply, 1, true) == 1)
    and body:byte(#reply + 1) == TRAILERS
    and ended_in_trailers(body)
end

function response(status, headers, body)
  if not right(status, headers, body) then
    wrong = wrong + 1
    if wrong == 1 then
      first_wrong = "HTTP " .. status .. ", " .. body:sub(-120):gsub('[^%w%p ]', " "):gsub('["\\]', "'")
    end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  local thread = threads[1]
  io.write(string.format(
    '{"calls": %d, "microseconds": %d, "overdrawn": %d, "wrong": %d, "first_wrong": "%s", ' ..
    '"connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, thread:get("overdrawn"), thread:get("wrong"), thread:get("first_wrong"),
    errors.connect, errors.read, errors.write, errors.timeout))
end
